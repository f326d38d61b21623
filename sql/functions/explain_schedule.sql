create or replace function tinydev.explain_schedule(schedule text) returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  return tinydev_lib.schedule_words(tinydev_lib.parse_schedule(schedule));
end $$;

comment on function tinydev.explain_schedule(text) is
$$Says a schedule in plain English: "every 15 minutes", "at 09:00 from Monday to Friday", "at 03:00 on the last day of each
month", "once, on 2026-12-05 at 14:30", or "never". Two schedules that pg_cron runs at the same times read the same. Raises schedule_invalid (422).$$;
