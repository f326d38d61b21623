create or replace view tinydev.delivery with (security_barrier) as
select s.role_name as owner, s.name as subscription, d.position as delivery_id, d.type, d.subject, d.state, d.attempt_count, d.next_attempt_at,
       d.last_attempt_at, d.status_code, d.latency_ms, d.error, d.response, s.subscription_id
  from tinydev_impl.subscription s
  join tinydev_impl.delivery d on d.subscription_id = s.subscription_id
 where s.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.delivery to tinydev_user;

comment on view tinydev.delivery is
$$What subscriptions were sent, one row for each event, by subscription and position: yours, for administrators everybody's. Read pages of it
by subscription_id and delivery_id. tinydev.attempt has each attempt; tinydev.redeliver sends again.$$;
comment on column tinydev.delivery.delivery_id     is 'position of the event';
comment on column tinydev.delivery.state           is 'pending (not tried yet), failing (will be tried again), delivered, dead (given up)';
comment on column tinydev.delivery.attempt_count   is 'attempts of the plan that were made';
comment on column tinydev.delivery.next_attempt_at is 'null while an earlier one about the same subject waits, and when there is no next';
comment on column tinydev.delivery.status_code     is 'of the last attempt: of HTTP or SMTP, or the exit code of a command';
comment on column tinydev.delivery.latency_ms      is 'how long the last attempt took';
comment on column tinydev.delivery.error           is 'why the last attempt failed';
comment on column tinydev.delivery.response        is 'beginning of what the target answered';

create or replace view tinydev.attempt with (security_barrier) as
select s.role_name as owner, s.name as subscription, d.position as delivery_id, a.n::integer as attempt, (a.attempt ->> 'at')::timestamptz as attempted_at,
       (a.attempt ->> 'delivered')::boolean as delivered, (a.attempt ->> 'status_code')::integer as status_code, (a.attempt ->> 'latency_ms')::integer as latency_ms,
       a.attempt ->> 'error' as error, a.attempt ->> 'response' as response, (a.attempt ->> 'next_attempt_at')::timestamptz as next_attempt_at, s.subscription_id
  from tinydev_impl.subscription s
  join tinydev_impl.delivery d on d.subscription_id = s.subscription_id
  cross join lateral pg_catalog.jsonb_array_elements(d.attempts || coalesce(tinydev_lib.last_attempt(d), '[]')) with ordinality a(attempt, n)
 where s.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.attempt to tinydev_user;

comment on view tinydev.attempt is
$$Each attempt to deliver, the last 50 of a delivery, in order: yours, for administrators everybody's.$$;
comment on column tinydev.attempt.delivery_id     is 'position of the event';
comment on column tinydev.attempt.attempt         is 'which of the attempts that are kept';
comment on column tinydev.attempt.latency_ms      is 'how long it took';
comment on column tinydev.attempt.next_attempt_at is 'when the next one was to be made';
