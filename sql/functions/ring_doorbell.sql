create or replace function tinydev_impl.ring_doorbell() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A full queue makes the commit fail; readers poll anyway.
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('tinydev_inbox', '');
  end if;
  return null;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.inbox'::pg_catalog.regclass and tgname = 't90_doorbell') then
    create trigger t90_doorbell after insert on tinydev_impl.inbox for each statement execute function tinydev_impl.ring_doorbell();
  end if;
end $$;
