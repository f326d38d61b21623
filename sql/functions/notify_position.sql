create or replace function tinydev_impl.notify_position() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('tinydev', new.position::text);
  end if;
  return null;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.event'::pg_catalog.regclass and tgname = 't90_notify') then
    create trigger t90_notify after insert on tinydev_impl.event for each row execute function tinydev_impl.notify_position();
  end if;
end $$;
