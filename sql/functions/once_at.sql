create or replace function tinydev_lib.once_at(schedule text, time_zone text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if once_at.schedule not like 'at %' then
    return null;
  end if;
  return (select d from tinydev_lib.due_times(once_at.schedule, once_at.time_zone, 1, '-infinity') d);
exception when others then
  return null;  -- a command that was written in psql may say anything
end $$;

comment on function tinydev_lib.once_at(text, text) is
'When a schedule that runs once (at 2026-12-05 14:30) is due, in past and future; null for any other schedule, and for one that cannot be read.';
