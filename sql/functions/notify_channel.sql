create or replace function tinydev_impl.notify_channel() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A full queue would make the placing fail. One that was dropped is silent from then on, also while a reader of the log holds up its removal.
  if pg_notification_queue_usage() < 0.5
     and not exists (select from tinydev_impl.request r where r.verb = 'drop_trigger' and r.answer ->> 'trigger_name' = tg_name) then
    perform pg_notify(tg_argv[0], new.position::text);
  end if;
  return null;
end $$;
