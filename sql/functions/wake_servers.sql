create or replace function tinydev_impl.wake_servers() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A full queue makes the commit fail; servers look every 5 s anyway.
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('tinydev_subscription', '');
  end if;
end $$;

comment on function tinydev_impl.wake_servers() is 'Has the servers look at the subscriptions once this transaction is committed.';
