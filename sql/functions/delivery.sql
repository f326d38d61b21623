-- runs as: installer
do $$
begin
  if not exists (select from pg_catalog.pg_policy where polrelid = 'tinydev_impl.delivery'::pg_catalog.regclass and polname = 'delivery_visible') then
    create policy subscription_visible on tinydev_impl.subscription for select to tinydev_reader
      using (role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member'));
    create policy delivery_visible on tinydev_impl.delivery for select to tinydev_reader
      using (subscription_id = any (array(select s.subscription_id from tinydev_impl.subscription s)));
  end if;
end $$;

-- No security barrier, as with tinydev.event, so that a page of it reads no more than that page.
create or replace view tinydev.delivery as
select s.role_name as owner, s.name as subscription, d.position as delivery_id, d.type, d.subject, d.state, d.attempt_count,
       case when s.active and s.holder is not null then d.next_attempt_at end as next_attempt_at,
       d.last_attempt_at, d.status_code, d.latency_ms, d.error, d.response, s.subscription_id
  from tinydev_impl.subscription s
  join tinydev_impl.delivery d on d.subscription_id = s.subscription_id;

alter view tinydev.delivery owner to tinydev_reader;
comment on role tinydev_reader is 'Owns just the views tinydev.event, tinydev.delivery and tinydev.run, so that row security holds in them; nobody logs in as it.';
grant select on tinydev.delivery to tinydev_user;

comment on view tinydev.delivery is
$$What subscriptions were sent, one row for each event, by subscription and position: yours, for administrators everybody's. Read pages of it
by subscription_id and delivery_id. tinydev.attempt has each attempt; tinydev.redeliver sends again.$$;
comment on column tinydev.delivery.delivery_id     is 'position of the event';
comment on column tinydev.delivery.state           is 'pending (not tried yet), failing (will be tried again), delivered, dead (given up)';
comment on column tinydev.delivery.attempt_count   is 'attempts of the plan that were made';
comment on column tinydev.delivery.next_attempt_at is 'null while an earlier one about the same subject waits, the subscription is paused, or no server delivers it, and when there is no next';
comment on column tinydev.delivery.status_code     is 'of the last attempt: of HTTP or SMTP, or the exit code of a command';
comment on column tinydev.delivery.latency_ms      is 'how long the last attempt took';
comment on column tinydev.delivery.error           is 'why the last attempt failed';
comment on column tinydev.delivery.response        is 'beginning of what the target answered';
