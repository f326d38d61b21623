-- pg_cron has one zone for all jobs, without summer time by default. So a job of another zone wakes at each time of day that one of its times may
-- fall on there, and tinydev.refresh goes by the zone's clock whether anything is due.
create or replace function tinydev_lib.cron_schedule(schedule text, time_zone text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parsed  jsonb := tinydev_lib.parse_schedule(cron_schedule.schedule);
  v_cron    text := tinydev_lib.cron_time_zone();
  v_minutes integer[];
  v_hours   integer[];
  v_times   integer[];  -- minutes of the day in pg_cron's zone
  v_zone    text := tinydev_lib.check_time_zone(cron_schedule.time_zone);
begin
  if v_parsed ->> 'kind' = 'once' then
    return to_char((select d from tinydev_lib.due_times(cron_schedule.schedule, v_zone, 1, '-infinity') d) at time zone v_cron, 'FMMI FMHH24 FMDD FMMM "*"');
  end if;
  if v_parsed ->> 'kind' <> 'cron' or (v_parsed ->> 'never')::boolean or upper(v_zone) = upper(v_cron)
     or not exists (select from generate_series(now() - interval '1 day', now() + interval '5 years', interval '6 hours') t where t at time zone v_zone <> t at time zone v_cron) then
    return v_parsed ->> 'schedule';
  end if;
  with sample as materialized (
    select t, t at time zone v_zone as here, t at time zone v_cron as there, lag(t) over w as before, lag(t at time zone v_zone) over w as here_before
      from generate_series(date_trunc('hour', now()) - interval '1 day', now() + interval '5 years', interval '6 hours') t window w as (order by t)
  ), due as (
    select distinct h::integer * 60 + m::integer as local from jsonb_array_elements_text(v_parsed -> 'hours') h, jsonb_array_elements_text(v_parsed -> 'minutes') m
  ), apart as (
    select distinct (date_part('epoch', s.there - s.here) / 60)::integer as minutes from sample s
  ), shift as (
    -- Where the clock is put forward a time that it skips is due.
    select f.at, f.here, f.here - (s.here - s.here_before - (s.t - s.before)) as skipped_from
      from sample s,
           lateral (select m.t at time zone v_cron as at, m.t at time zone v_zone as here
                      from generate_series(s.before, s.t, interval '1 minute') m(t)
                     where (m.t at time zone v_zone) - (m.t at time zone 'UTC') = (s.t at time zone v_zone) - (s.t at time zone 'UTC') order by m.t limit 1) f
     where s.here - s.here_before > s.t - s.before
  )
  select array_agg(distinct t.minute) into v_times from (
    select (d.local + a.minutes + 2880) % 1440 as minute from due d, apart a
    union
    select (date_part('hour', f.at) * 60 + date_part('minute', f.at))::integer from shift f
     where exists (select from due d
                    where date_trunc('day', f.skipped_from) + d.local * interval '1 minute' >= f.skipped_from and date_trunc('day', f.skipped_from) + d.local * interval '1 minute' < f.here
                       or date_trunc('day', f.here) + d.local * interval '1 minute' >= f.skipped_from and date_trunc('day', f.here) + d.local * interval '1 minute' < f.here)
  ) t;
  v_minutes := array(select distinct t % 60 from unnest(v_times) t order by 1);
  v_hours := array(select distinct t / 60 from unnest(v_times) t order by 1);
  return format('%s %s * * *', case when cardinality(v_minutes) = 60 then '*' else array_to_string(v_minutes, ',') end,
    case when cardinality(v_hours) = 24 then '*' else array_to_string(v_hours, ',') end);
end $$;

comment on function tinydev_lib.cron_schedule(text, text) is
$$The schedule for pg_cron of a job whose own is read in a time zone: all times of day, in pg_cron's zone, at which it may be due, and maybe some more.
Of a time to run once its minute, hour, day and month, which come each year; tinydev.refresh goes by the year too.
Errors: TD422 schedule_invalid, time_zone_unknown.$$;
