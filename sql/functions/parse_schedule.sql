create or replace function tinydev_lib.parse_schedule(schedule text, cron_version text default null) returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  c_blank constant text := E' \t\n\r\f\x0b';
  c_names constant text[] := array['minute', 'hour', 'day of the month', 'month', 'day of the week'];
  c_low   constant integer[] := array[0, 0, 1, 1, 0];
  c_high  constant integer[] := array[59, 23, 31, 12, 7];
  v_text       text := btrim(schedule, c_blank);
  v_version    integer[];
  v_match      text[];
  v_rest       text;
  v_tokens     text[] := '{}';
  v_token      text;
  v_number     integer;
  v_field      jsonb;
  v_at         timestamp;
  v_values     integer[];
  v_minutes    integer[];
  v_hours      integer[];
  v_days       integer[];
  v_months     integer[];
  v_weekdays   integer[];
  v_last_day   boolean := false;
  v_either_day boolean;
  v_has_day    boolean;
  v_never      text;
  v_warnings   text[] := '{}';
begin
  if coalesce(v_text, '') = '' then
    perform tinydev_lib.fault(422, 'schedule_invalid', 'the schedule is empty',
      'write five fields such as 0 9 * * 1-5, an interval such as 30 seconds, or a time such as at 2026-12-05 14:30');
  end if;

  v_version := tinydev_lib.cron_release(cron_version);
  if v_version is null then
    perform tinydev_lib.fault(422, 'cron_version_invalid', format('"%s" is not a version of pg_cron', left(cron_version, 20)),
      'write it like 1.6 or 1.4-1');
  elsif v_version = array[0, 0] then
    v_version := array[1, 6];  -- without pg_cron the newest grammar counts
  end if;

  if v_text ~* E'^at([ \t]|$)' then
    v_match := regexp_match(v_text, E'^at[ \t]+([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ \t]+|[ \t]*T)([01]?[0-9]|2[0-3]):([0-9]{2})(?::00)?$', 'i');
    begin
      v_at := make_timestamp(v_match[1]::integer, v_match[2]::integer, v_match[3]::integer, v_match[4]::integer, v_match[5]::integer, 0);
    exception when others then
      null;  -- such as 30 February
    end;
    if v_at is null then
      perform tinydev_lib.fault(422, 'schedule_invalid', format('"%s" is not a time at which to run once', left(v_text, 60)),
        'write at 2026-12-05 14:30: a whole minute, on the clock of the time zone, which is an option of its own', jsonb_build_object('value', left(v_text, 60)));
    end if;
    return jsonb_build_object('kind', 'once', 'schedule', to_char(v_at, '"at "YYYY-MM-DD HH24:MI'), 'at', to_char(v_at, 'YYYY-MM-DD HH24:MI'), 'never', false, 'warnings', v_warnings);
  end if;

  if v_text ~* 's$|d$' then
    v_match := regexp_match(lower(v_text collate "C"), E'^([+]?[0-9]+)[ \t\n\x0b\f\r]*seconds?$');
  end if;
  if v_match is not null then
    if v_match[1] !~ '^[+]?0*([1-9]|[1-5][0-9])$' then
      perform tinydev_lib.fault(422, 'schedule_invalid',
        format('the interval "%s" is out of range; allowed are 1 to 59 seconds', left(v_text, 40)),
        'for minutes write */5 * * * *, for hours 0 */2 * * *',
        jsonb_build_object('field', 'seconds', 'value', left(v_text, 60)));
    end if;
    if v_version < array[1, 5] then
      v_warnings := v_warnings
        || 'the first run may be up to a minute away, since this pg_cron has no intervals of seconds of its own'::text;
    end if;
    return jsonb_build_object('kind', 'interval', 'schedule', v_text, 'seconds', v_match[1]::integer, 'never', false,
                              'warnings', v_warnings);
  end if;

  if octet_length(v_text) >= 1000 then
    perform tinydev_lib.fault(422, 'schedule_invalid',
      format('the schedule has %s bytes; pg_cron reads at most 999', octet_length(v_text)));
  end if;

  v_rest := ltrim(regexp_replace(v_text, E'^([ \t]*(#[^\n]*)?\n)+', ''), E' \t');

  if v_rest like '@%' then
    v_tokens := array[substring(v_rest from E'^@([^ \t\n]*)')];
    v_rest := ltrim(substr(v_rest, length(v_tokens[1]) + 2), c_blank);
    v_minutes := '{0}';
    v_hours := '{0}';
    v_days := array(select generate_series(1, 31));
    v_months := array(select generate_series(1, 12));
    v_weekdays := array(select generate_series(0, 6));
    v_either_day := false;
    case v_tokens[1]
      when 'reboot', 'restart' then
        v_warnings := v_warnings || 'it runs once each time the scheduler starts, and at no other time'::text;
      when 'yearly', 'annually' then
        v_days := '{1}';
        v_months := '{1}';
        if v_version >= array[1, 6] then
          v_months := '{}';
          v_never := format('pg_cron accepts @%s and leaves its month empty; write 0 0 1 1 *', v_tokens[1]);
        end if;
      when 'monthly' then
        v_days := '{1}';
      when 'weekly' then
        v_weekdays := '{0}';
      when 'daily', 'midnight' then
        v_either_day := true;
      when 'hourly' then
        v_hours := array(select generate_series(0, 23));
        v_either_day := true;
      else
        perform tinydev_lib.fault(422, 'schedule_invalid',
          format('"@%s" is not a schedule that pg_cron knows', left(v_tokens[1], 40)),
          'it knows @hourly, @daily, @midnight, @weekly, @monthly and @reboot, in lower case',
          jsonb_build_object('value', left(v_text, 60)));
    end case;
  else
    for i in 1..5 loop
      v_tokens[i] := substring(v_rest from E'^[^ \t\n]*');
      v_rest := ltrim(substr(v_rest, length(v_tokens[i]) + 1), E' \t');
    end loop;
    if v_tokens[5] = '' then
      perform tinydev_lib.fault(422, 'schedule_invalid',
        format('"%s" is not a schedule: it has %s of the five fields minute, hour, day of the month, month, day of the week',
               left(v_text, 60), cardinality(array_remove(v_tokens, ''))),
        case
          when v_text ~* '^(every *)?[0-9]* *s(ec(ond)?s?)?$' then 'write an interval like 30 seconds'
          when v_text ~* '^(every *)?[0-9]* *m(in(ute)?s?)?$' then 'for minutes write */5 * * * *'
          when v_text ~* '^(every *)?[0-9]* *h((ou)?rs?)?$' then 'for hours write 0 */2 * * *'
          when v_text ~* '^(every *)?[0-9]* *d(ays?)?$' then 'for every day at nine write 0 9 * * *'
          else 'for example 0 9 * * 1-5 (at 09:00 from Monday to Friday), or 30 seconds'
        end,
        jsonb_build_object('value', left(v_text, 60)));
    end if;

    for i in 1..5 loop
      v_token := v_tokens[i];
      v_number := case when v_token ~ '^[0-9]{1,2}$' then v_token::integer end;
      if v_token = '*' then
        v_values := case i  -- written out: this is what most fields are
          when 1 then '{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59}'::integer[]
          when 2 then '{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23}'::integer[]
          when 3 then '{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31}'::integer[]
          when 4 then '{1,2,3,4,5,6,7,8,9,10,11,12}'::integer[]
          else '{0,1,2,3,4,5,6}'::integer[] end;
      elsif v_number between c_low[i] and c_high[i] then
        v_values := array[v_number];
      elsif i = 3 and v_token = '$' then
        if v_version < array[1, 6] then
          perform tinydev_lib.fault(422, 'schedule_invalid',
            format('$, the last day of the month, needs pg_cron 1.6; this is %s', array_to_string(v_version, '.')),
            'run on days 28-31 and let the view''s query tell whether the day is the last',
            jsonb_build_object('field', c_names[i], 'value', '$'));
        end if;
        v_last_day := true;
        v_values := '{}';
      else
        v_field := tinydev_lib.parse_schedule_field(v_token, c_names[i], c_low[i], c_high[i],
          case i
            when 4 then array['jan','feb','mar','apr','may','jun','jul','aug','sep','oct','nov','dec']
            when 5 then array['sun','mon','tue','wed','thu','fri','sat']
          end, v_version);
        v_values := translate(v_field ->> 'values', '[]', '{}')::integer[];
        if v_field -> 'warnings' <> '[]' then
          v_warnings := v_warnings || array(select jsonb_array_elements_text(v_field -> 'warnings'));
        end if;
      end if;
      case i
        when 1 then v_minutes := v_values;
        when 2 then v_hours := v_values;
        when 3 then v_days := v_values;
        when 4 then v_months := v_values;
        else v_weekdays := v_values;
      end case;
    end loop;
    if v_weekdays[cardinality(v_weekdays)] = 7 then
      v_weekdays := array(select distinct w % 7 from unnest(v_weekdays) w order by 1);
    end if;
    v_either_day := v_tokens[3] not like '*%' and v_tokens[5] not like '*%';
  end if;

  if v_rest <> '' then
    v_warnings := v_warnings || format('pg_cron ignores "%s" after the schedule%s', left(v_rest, 40),
      case when cardinality(v_tokens) = 5 and v_rest !~ '[^-0-9A-Za-z*,/$?]' then ': it reads five fields, minutes first' else '' end);
  end if;

  if v_tokens[1] in ('reboot', 'restart') then
    return jsonb_build_object('kind', 'reboot', 'schedule', v_text, 'never', false, 'warnings', v_warnings);
  end if;

  v_has_day := v_last_day or coalesce(v_days[1] <= 28, false) and v_months <> '{}';
  if not v_has_day then
    v_has_day := exists (
      select from unnest(v_months) m
      where v_days[1] <= (array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]);
  end if;
  v_never := coalesce(v_never, case
    when v_minutes = '{}' then 'its minute field matches nothing'
    when v_hours = '{}' then 'its hour field matches nothing'
    when v_months = '{}' then 'its month field matches nothing'
    when v_weekdays = '{}' and (not v_either_day or v_days = '{}' and not v_last_day)
      then 'its day of the week field matches nothing'
    when v_days = '{}' and not v_last_day and not v_either_day then 'its day of the month field matches nothing'
    when not v_has_day and (not v_either_day or v_weekdays = '{}')
      then format('day %s does not exist in the months that it names', v_days[1])
    end);

  if v_never is not null then
    v_warnings := v_warnings || ('it never runs: ' || v_never);
  elsif v_either_day and (v_days <> '{}' or v_last_day) and cardinality(v_days) < 31
        and cardinality(v_weekdays) between 1 and 6 then
    v_warnings := v_warnings || 'it runs when the day of the month or the day of the week matches, not only when both do'::text;
  elsif v_days[1] > 28 then
    if not (v_either_day and v_weekdays <> '{}') and exists (
        select from unnest(v_months) m
        where v_days[1] > (array[31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]) then
      v_warnings := v_warnings || format('it skips every month without a day %s%s', v_days[1],
        case when v_version >= array[1, 6] then '; $ stands for the last day of a month' else '' end);
    end if;
  end if;

  return jsonb_build_object(
    'kind', 'cron', 'schedule', v_text,
    'minutes', v_minutes, 'hours', v_hours, 'days', v_days, 'months', v_months, 'weekdays', v_weekdays,
    'last_day', v_last_day, 'either_day', v_either_day,
    'never', v_never is not null, 'warnings', v_warnings);
end $$;

comment on function tinydev_lib.parse_schedule(text, text) is
$$Reads a schedule exactly as pg_cron of the given version does (the installed one when null, the newest when there is none):
{"kind":"cron","minutes":[0],"hours":[9],"days":[1..31],"months":[1..12],"weekdays":[0..6, Sunday is 0],"last_day":false,
"either_day":false,"never":false,"schedule":…,"warnings":[]}, {"kind":"interval","seconds":5,…} or {"kind":"reboot",…}; and besides, what pg_cron
refuses, a time to run once: {"kind":"once","at":"2026-12-05 14:30","schedule":"at 2026-12-05 14:30",…}.
either_day: a day matches when its day of the month or its weekday does, else both must. never: pg_cron accepts it and
never runs it. schedule is the text to give to pg_cron, without surrounding spaces. warnings are sentences for people.
Raises schedule_invalid (422) for what pg_cron refuses; fields say which field. Stricter than pg_cron in one thing: a number
of ten digits or more is refused, where pg_cron would cut it to 32 bits.$$;
