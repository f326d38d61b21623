create or replace function tinydev.next_runs(
  schedule  text,
  time_zone text        default 'UTC',
  count     integer     default 5,
  after     timestamptz default now()
) returns setof timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_left  integer := coalesce(count, 5);
  v_after timestamptz := coalesce(after, now());
begin
  if v_left < 1 or v_left > 1000 then
    perform tinydev_lib.fault(422, 'count_invalid', format('the count is %s; allowed are 1 to 1000', v_left), '',
                          jsonb_build_object('count', v_left));
  end if;
  if v_after < '1900-01-01 00:00+00' or v_after >= '9900-01-01 00:00+00' then
    perform tinydev_lib.fault(422, 'after_invalid', 'the time after which runs are asked for lies outside the years 1900 to 9899');
  end if;

  return query select tinydev_lib.due_times(schedule, tinydev_lib.check_time_zone(coalesce(time_zone, 'UTC')), v_left, v_after);
end $$;

comment on function tinydev.next_runs(text, text, integer, timestamptz) is
$$The next count (1 to 1000) times at which the schedule is due, strictly after the given time, in ascending order.
The five fields are read on the clock of the time zone. A time that the clock skips is due once, at the shift; a time that it
shows twice is due once, the first time. Intervals count from the given time; a time to run once (at 2026-12-05 14:30) is due once. Fewer rows come when fewer are due
within the next 41 years, and none for a schedule that never runs or runs at the scheduler's start only.
Raises schedule_invalid, time_zone_unknown, count_invalid, after_invalid (422).$$;
