create or replace function tinydev_lib.describe_schedule(
  schedule  text,
  time_zone text,
  count     integer,
  after     timestamptz
) returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_parsed jsonb := tinydev_lib.parse_schedule(schedule);
  v_zone   text := tinydev_lib.check_time_zone(coalesce(time_zone, 'UTC'));
  v_runs   timestamptz[] := array(select r from tinydev.next_runs(schedule, v_zone, count, after) r order by r);
  v_moved  text[] := '{}';
begin
  if v_parsed ->> 'kind' in ('cron', 'once') then
    v_moved := array(
      select format('the clock in %s skips a time of this schedule on %s, so it runs at %s that day',
                    v_zone, to_char(l, 'YYYY-MM-DD'), to_char(l, 'HH24:MI'))
      from unnest(v_runs) r, lateral (select r at time zone v_zone) as x(l)
      where case v_parsed ->> 'kind' when 'once' then to_char(l, 'YYYY-MM-DD HH24:MI') <> v_parsed ->> 'at'
              else not (v_parsed -> 'minutes' @> to_jsonb(extract(minute from l)::integer)
                        and v_parsed -> 'hours' @> to_jsonb(extract(hour from l)::integer)) end
      order by r
      limit 3);
  end if;

  return jsonb_build_object(
    'schedule', v_parsed ->> 'schedule',
    'words', tinydev_lib.schedule_words(v_parsed),
    'time_zone', v_zone,
    'runs', array(
      select to_char(u, case when date_trunc('second', u) = u then 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
                             else 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' end)
      from unnest(v_runs) r, lateral (select r at time zone 'UTC') as x(u)
      order by r),
    'warnings', (v_parsed -> 'warnings') || to_jsonb(v_moved));
end $$;

comment on function tinydev_lib.describe_schedule(text, text, integer, timestamptz) is
$$What tinydev.preview_schedule answers about a schedule by itself, without a look at other jobs. Raises what next_runs raises.$$;
