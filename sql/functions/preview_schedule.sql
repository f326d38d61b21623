create or replace function tinydev.preview_schedule(
  schedule  text,
  time_zone text        default 'UTC',
  count     integer     default 5,
  after     timestamptz default now()
) returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_zone     text := tinydev_lib.check_time_zone(coalesce(time_zone, 'UTC'));
  v_schedule text := tinydev_lib.spread_schedule(schedule, v_zone, '');
  v_preview  jsonb := tinydev_lib.describe_schedule(v_schedule, v_zone, count, after);
  v_warnings text[] := '{}';
begin
  if v_schedule <> schedule then
    v_warnings := array['H is chosen when the view is scheduled, so it may be other times than these'];
  end if;
  if tinydev_lib.once_at(v_preview ->> 'schedule', v_zone) <= clock_timestamp() then
    v_warnings := array[format('%s in %s has passed: it would never run', substr(v_preview ->> 'schedule', 4), v_zone)];
  end if;
  return v_preview || jsonb_build_object('warnings', (v_preview -> 'warnings') || to_jsonb(v_warnings)
    || tinydev_lib.crowd_warnings(v_preview ->> 'schedule', v_zone, (array(select r::timestamptz from jsonb_array_elements_text(v_preview -> 'runs') r))[:5]));
end $$;

comment on function tinydev.preview_schedule(text, text, integer, timestamptz) is
$$What a person wants to see before saving a schedule: {"schedule":"0 0 * * *","words":"at 00:00 every day","time_zone":"UTC",
"runs":["2027-01-01T00:00:00Z"],"warnings":[]}. runs are those of next_runs, as RFC 3339 in UTC; warnings are sentences for
people. H and H/15 in the minute or hour field are told as the numbers that tinydev.schedule would choose now, if the view has none yet. Raises what next_runs raises.$$;
