create or replace function tinydev_lib.schedule_words(parsed jsonb) returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  c_weekdays constant text[] := array['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
  c_months   constant text[] := array['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August',
                                      'September', 'October', 'November', 'December'];
  v_minutes  integer[];
  v_hours    integer[];
  v_days     integer[];
  v_months   integer[];
  v_weekdays integer[];  -- Monday is 1, Sunday 7
  v_minute_step integer; -- 15 for 0, 15, 30, 45; 1 for all
  v_hour_step   integer;
  v_hour_range  boolean;
  v_short    boolean;    -- few enough times of day to list
  v_times    text;
  v_needs_day boolean := false;  -- "at 09:00" is not complete without "every day"
  v_month    text := '';
  v_day      text;
  v_weekday  text;
begin
  if parsed ->> 'kind' = 'reboot' then
    return 'once each time the scheduler starts';
  end if;
  if parsed ->> 'kind' = 'interval' then
    return case when parsed ->> 'seconds' = '1' then 'every second' else format('every %s seconds', parsed ->> 'seconds') end;
  end if;
  if parsed ->> 'kind' = 'once' then
    return format('once, on %s at %s', left(parsed ->> 'at', 10), right(parsed ->> 'at', 5));
  end if;
  if (parsed ->> 'never')::boolean then
    return 'never';
  end if;

  v_minutes := translate(parsed ->> 'minutes', '[]', '{}')::integer[];
  v_hours := translate(parsed ->> 'hours', '[]', '{}')::integer[];
  v_days := translate(parsed ->> 'days', '[]', '{}')::integer[];
  v_months := translate(parsed ->> 'months', '[]', '{}')::integer[];
  v_weekdays := translate(parsed ->> 'weekdays', '[]', '{}')::integer[];
  if v_weekdays[1] = 0 then
    v_weekdays := v_weekdays[2:] || 7;
  end if;

  -- The time of day.
  v_minute_step := 60 / cardinality(v_minutes);
  if v_minutes[1] > 0 or cardinality(v_minutes) = 1
     or v_minutes <> array(select generate_series(0, 59, v_minute_step)) then
    v_minute_step := null;
  end if;
  v_hour_step := 24 / cardinality(v_hours);
  if v_hours[1] > 0 or cardinality(v_hours) < 3
     or v_hours <> array(select generate_series(0, 23, v_hour_step)) then
    v_hour_step := null;
  end if;
  v_hour_range := v_hours = array(select generate_series(v_hours[1], v_hours[cardinality(v_hours)]));

  v_short := cardinality(v_minutes) * cardinality(v_hours) <= 8;
  if v_minute_step is not null and (v_hour_range or v_hour_step is not null or not v_short) then
    v_times := case when v_minute_step = 1 then 'every minute' else format('every %s minutes', v_minute_step) end
      || case
        when v_hour_step = 1 then ''
        when v_hour_range then format(' from %s:00 to %s:%s', to_char(v_hours[1], 'FM00'),
          to_char(v_hours[cardinality(v_hours)], 'FM00'), v_minutes[cardinality(v_minutes)])
        when v_hour_step is not null then format(' of every %s hour', to_char(v_hour_step, 'FM99th'))
        else format(' of the hours %s', tinydev_lib.word_list(v_hours::text[]))
      end;
  elsif v_hour_step is not null and v_minutes = '{0}' then
    v_times := case when v_hour_step = 1 then 'every hour' else format('every %s hours', v_hour_step) end;
  elsif v_hour_step is null and v_hour_range and cardinality(v_minutes) = 1 and cardinality(v_hours) > 2 then
    v_times := format('every hour from %s:%s to %s:%2$s', to_char(v_hours[1], 'FM00'), to_char(v_minutes[1], 'FM00'),
      to_char(v_hours[cardinality(v_hours)], 'FM00'));
  elsif v_hour_step is null and v_short then
    v_times := 'at ' || tinydev_lib.word_list(array(
      select to_char(h, 'FM00') || ':' || to_char(m, 'FM00') from unnest(v_hours) h, unnest(v_minutes) m order by h, m));
    v_needs_day := true;
  else
    v_times := case
        when cardinality(v_minutes) = 1 then format('at minute %s', v_minutes[1])
        when cardinality(v_minutes) > 2
             and v_minutes = array(select generate_series(v_minutes[1], v_minutes[cardinality(v_minutes)]))
          then format('every minute from minute %s to %s', v_minutes[1], v_minutes[cardinality(v_minutes)])
        else format('at minutes %s', tinydev_lib.word_list(v_minutes::text[]))
      end
      || case
        when v_hour_step = 1 then ' past every hour'
        when v_hour_step is not null then format(' past every %s hour', to_char(v_hour_step, 'FM99th'))
        when v_hour_range and cardinality(v_hours) > 2
          then format(' past every hour from %s:00 to %s:00', to_char(v_hours[1], 'FM00'),
                      to_char(v_hours[cardinality(v_hours)], 'FM00'))
        when cardinality(v_hours) = 1 then format(' past hour %s', v_hours[1])
        else format(' past the hours %s', tinydev_lib.word_list(v_hours::text[]))
      end;
  end if;

  -- The month.
  if cardinality(v_months) < 12 then
    v_month := case
      when cardinality(v_months) > 2 and v_months = array(select generate_series(v_months[1], v_months[cardinality(v_months)]))
        then format('from %s to %s', c_months[v_months[1]], c_months[v_months[cardinality(v_months)]])
      else tinydev_lib.word_list(array(select c_months[m] from unnest(v_months) m order by m))
    end;
  end if;

  -- The day of the month; null when it does not narrow anything down.
  v_day := case
    when (parsed ->> 'last_day')::boolean then 'on the last day'
    when cardinality(v_days) = 31 or v_days = '{}' then null
    when cardinality(v_days) > 3 and v_days[2] - v_days[1] > 1
         and v_days = array(select generate_series(v_days[1], 31, v_days[2] - v_days[1]))
      then format('on every %s day from the %s', to_char(v_days[2] - v_days[1], 'FM99th'), to_char(v_days[1], 'FM99th'))
    when cardinality(v_days) > 2 and v_days = array(select generate_series(v_days[1], v_days[cardinality(v_days)]))
      then format('from the %s to the %s', to_char(v_days[1], 'FM99th'), to_char(v_days[cardinality(v_days)], 'FM99th'))
    else 'on the ' || tinydev_lib.word_list(array(select to_char(d, 'FM99th') from unnest(v_days) d order by d))
  end || case
    when v_month = '' then ' of each month'
    when v_month like 'from %' then ' of each month ' || v_month
    else ' of ' || v_month
  end;
  v_weekday := case
    when cardinality(v_weekdays) = 7 or v_weekdays = '{}' then null
    when cardinality(v_weekdays) = 1 then 'every ' || c_weekdays[v_weekdays[1]]
    when cardinality(v_weekdays) > 2
         and v_weekdays = array(select generate_series(v_weekdays[1], v_weekdays[cardinality(v_weekdays)]))
      then format('from %s to %s', c_weekdays[v_weekdays[1]], c_weekdays[v_weekdays[cardinality(v_weekdays)]])
    else 'on ' || tinydev_lib.word_list(array(select c_weekdays[w] from unnest(v_weekdays) w order by w))
  end;
  if (parsed ->> 'either_day')::boolean and (cardinality(v_days) = 31 or cardinality(v_weekdays) = 7) then
    v_day := null;
    v_weekday := null;
  end if;
  v_month := case when v_month = '' or v_month like 'from %' then v_month else 'in ' || v_month end;

  return v_times || case
    when v_day is not null and v_weekday is null then ' ' || v_day
    when v_day is null and v_weekday is not null then ' ' || rtrim(v_weekday || ' ' || v_month)
    when v_day is not null and (parsed ->> 'either_day')::boolean
      then format(' %s and also %s', v_day, rtrim(v_weekday || ' ' || v_month))
    when v_day is not null
      then format(' %s, but only if that day is a %s', v_day,
                  tinydev_lib.word_list(array(select c_weekdays[w] from unnest(v_weekdays) w order by w), 'or'))
    when v_month <> '' and v_needs_day then ' every day ' || v_month
    when v_month <> '' then ' ' || v_month
    when v_needs_day then ' every day'
    else ''
  end;
end $$;

comment on function tinydev_lib.schedule_words(jsonb) is
'Says what tinydev_lib.parse_schedule read in plain English; see tinydev.explain_schedule.';
