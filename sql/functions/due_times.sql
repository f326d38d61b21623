-- A local time stands for the first instant at which the zone's clock shows it or a later time. So a time that
-- the clock skips runs at the shift, one that it shows twice runs at the first showing, and instants never go back
-- while local times go on.
create or replace function tinydev_lib.due_times(
  schedule  text,
  time_zone text,
  count     integer,
  after     timestamptz,
  until     timestamptz default 'infinity'
) returns setof timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_parsed     jsonb := tinydev_lib.parse_schedule(schedule);
  v_zone       text := tinydev_lib.check_time_zone(coalesce(time_zone, 'UTC'));
  v_left       integer := count;
  v_after      timestamptz := after;
  v_minutes    integer[];
  v_hours      integer[];
  v_days       integer[];
  v_months     integer[];
  v_weekdays   integer[];
  v_last_day   boolean;
  v_either_day boolean;
  v_start      timestamp;
  v_at         timestamp := v_parsed ->> 'at';
  v_end        date;
  v_date       date;
  v_hour       integer;
  v_minute     integer;
  v_local      timestamp;
  v_run        timestamptz;
  v_earlier    timestamptz;
  v_low        timestamptz;
  v_middle     timestamptz;
  v_has_day    boolean;
  v_has_weekday boolean;
begin
  if v_parsed ->> 'kind' = 'interval' then
    return query
      select v_after + n * make_interval(secs => (v_parsed ->> 'seconds')::integer)
      from generate_series(1, v_left) n
      where v_after + n * make_interval(secs => (v_parsed ->> 'seconds')::integer) <= until;
    return;
  end if;
  if v_parsed ->> 'kind' not in ('cron', 'once') or (v_parsed ->> 'never')::boolean then
    return;
  end if;

  v_start := v_after at time zone v_zone;
  v_date := v_start::date;
  v_end := v_date + 41 * 366;  -- 40 years is the longest wait there is: for 29 February on one weekday, across 2100
  if v_at is not null then
    v_date := greatest(v_date, v_at::date);
    v_end := v_at::date + 1;
    v_left := 1;
    v_parsed := v_parsed || jsonb_build_object('minutes', array[extract(minute from v_at)], 'hours', array[extract(hour from v_at)], 'days', array[extract(day from v_at)],
      'months', array[extract(month from v_at)], 'weekdays', array[extract(dow from v_at)], 'last_day', false, 'either_day', false);
  end if;

  v_minutes := array(select jsonb_array_elements_text(v_parsed -> 'minutes')::integer);
  v_hours := array(select jsonb_array_elements_text(v_parsed -> 'hours')::integer);
  v_days := array(select jsonb_array_elements_text(v_parsed -> 'days')::integer);
  v_months := array(select jsonb_array_elements_text(v_parsed -> 'months')::integer);
  v_weekdays := array(select jsonb_array_elements_text(v_parsed -> 'weekdays')::integer);
  v_last_day := (v_parsed ->> 'last_day')::boolean;
  v_either_day := (v_parsed ->> 'either_day')::boolean;

  while v_date < v_end loop
    exit when v_date - 2 > until;
    if extract(month from v_date)::integer <> all (v_months) then
      v_date := (date_trunc('month', v_date::timestamp) + interval '1 month')::date;
      continue;
    end if;

    v_has_day := extract(day from v_date)::integer = any (v_days)
      or (v_last_day and extract(day from v_date + 1) = 1);
    v_has_weekday := extract(dow from v_date)::integer = any (v_weekdays);
    if (v_has_day and v_has_weekday) or (v_either_day and (v_has_day or v_has_weekday)) then
      foreach v_hour in array v_hours loop
        continue when v_date + make_time(v_hour, 59, 0) <= v_start;
        foreach v_minute in array v_minutes loop
          v_local := v_date + make_time(v_hour, v_minute, 0);
          continue when v_local <= v_start;

          v_run := v_local at time zone v_zone;
          if v_run at time zone v_zone <> v_local then
            -- Skipped: PostgreSQL counts on with the old offset; the shift lies in the 24 hours before that.
            v_low := v_run - interval '24 hours';
            while v_run - v_low > interval '1 second' loop
              v_middle := date_trunc('second', v_low + (v_run - v_low) / 2);
              if v_middle at time zone v_zone >= v_local then
                v_run := v_middle;
              else
                v_low := v_middle;
              end if;
            end loop;
          else
            -- Shown twice: PostgreSQL takes the second showing; the offset of a day before gives the first.
            v_earlier := v_run - (((v_run - interval '24 hours') at time zone v_zone) + interval '24 hours' - v_local);
            if v_earlier < v_run and v_earlier at time zone v_zone = v_local then
              v_run := v_earlier;
            end if;
          end if;

          if v_run > until then
            return;
          end if;
          if v_run > v_after then
            return next v_run;
            v_after := v_run;
            v_left := v_left - 1;
            if v_left = 0 then
              return;
            end if;
          end if;
        end loop;
      end loop;
    end if;
    v_date := v_date + 1;
  end loop;
end $$;

comment on function tinydev_lib.due_times(text, text, integer, timestamptz, timestamptz) is
$$The first count times after one, and none after until, at which a schedule is due; see tinydev.next_runs, whose limits it does not check.$$;
