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
