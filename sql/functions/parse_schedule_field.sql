-- The grammar is that of get_list and get_range in pg_cron's src/entry.c:
--   list = range {"," range};  range = "*" ["/" step] | number | number "-" number ["/" step]
-- Whatever follows a complete list up to the next blank is skipped there without a word.
create or replace function tinydev_lib.parse_schedule_field(
  field   text,
  name    text,
  low     integer,
  high    integer,
  names   text[],
  version integer[]
) returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_rest     text := field;
  v_match    text[];
  v_item     text;
  v_first    integer;
  v_last     integer;
  v_step     integer;
  v_values   integer[] := '{}';
  v_sorted   boolean := true;
  v_warnings text[] := '{}';
  v_byte_end integer;
  v_byte_start integer;
  v_reads    text;
  v_problem  text;
  v_hint     text;
begin
  loop
    -- 1 the item, 2 star, 3 first number or name, 4 dash, 5 last, 6 slash, 7 step
    v_match := regexp_match(v_rest,
      '^((?:([*])|([0-9A-Za-z]+)(?:(-)([0-9A-Za-z]*))?)(?:(/)([0-9A-Za-z]*))?)');
    v_item := v_match[1];

    if v_item is null then
      v_problem := case
        when v_rest = '' then 'a number is missing after the comma'
        else format('"%s" stands where a number or * should be', left(v_rest, 20)) end;
      v_hint := case
        when v_rest like '$%' then '$, the last day of the month, stands alone in the third field: 0 3 $ * *'
        when v_rest like '?%' then 'write * instead of ?' end;
      exit;
    end if;

    v_step := 1;
    if v_match[2] is not null then
      v_first := low;
      v_last := high;
    else
      v_first := coalesce(array_position(names, lower(v_match[3] collate "C")) - 1 + low,
                          case when v_match[3] ~ '^0*[0-9]{1,9}$' then v_match[3]::integer end);
      v_last := v_first;
      if v_match[4] is not null then
        v_last := coalesce(array_position(names, lower(v_match[5] collate "C")) - 1 + low,
                           case when v_match[5] ~ '^0*[0-9]{1,9}$' then v_match[5]::integer end);
      elsif v_match[6] is not null then
        v_problem := 'a step needs a range or *';
        v_hint := case when v_item like 'H%' then 'H/15, an offset that is free, is for tinydev.schedule and preview_schedule, in the first two of five fields'
                       else format('write %1$s-%2$s/%3$s, or */%3$s', v_match[3], high, coalesce(nullif(v_match[7], ''), '5')) end;
        exit;
      end if;
    end if;
    if v_match[6] is not null then
      v_step := case when v_match[7] ~ '^0*[0-9]{1,9}$' then v_match[7]::integer end;
      if v_step is null or v_step = 0 or (v_step > high and version >= array[1, 6]) then
        v_problem := format('a step goes from 1 to %s', high);
        exit;
      end if;
    end if;
    if v_first is null or v_last is null or least(v_first, v_last) < low or greatest(v_first, v_last) > high then
      v_problem := format('allowed are %s to %s%s', low, high,
        case when names is null then '' else format(' and %s to %s', names[1], names[cardinality(names)]) end);
      v_hint := case when name = 'day of the month' and upper(v_item) = 'L' and version >= array[1, 6]
                     then '$ is the last day of the month: 0 3 $ * *'
                     when v_item like 'H%' then 'H, a minute or hour that is free, is for tinydev.schedule and preview_schedule: H or H/15 in the first two of five fields' end;
      exit;
    end if;

    if v_values <> '{}' then
      v_sorted := false;
    end if;
    if v_first = v_last then
      v_values := v_values || v_first;
    elsif v_first < v_last then
      v_values := v_values || array(select generate_series(v_first, v_last, v_step));
      if v_match[6] is not null and v_step > v_last - v_first then
        v_warnings := v_warnings || format('the step of %s in the %s field leaves only %s', v_item, name, v_first);
      end if;
    else
      -- From 1.6 on pg_cron sets a whole range byte by byte; backwards it sets the end of the first byte and
      -- the start of the last one when the two differ. Before that, and with a step, it sets nothing.
      v_reads := 'it matches nothing';
      if v_step = 1 and version >= array[1, 6] and (v_first - low) / 8 <> (v_last - low) / 8 then
        v_byte_end := least(high, low + (v_first - low) / 8 * 8 + 7);
        v_byte_start := low + (v_last - low) / 8 * 8;
        v_sorted := false;
        v_values := v_values
          || array(select generate_series(v_first, v_byte_end))
          || array(select generate_series(v_byte_start, v_last));
        v_reads := format('pg_cron reads it as %s-%s,%s-%s', v_byte_start, v_last, v_first, v_byte_end);
      end if;
      v_warnings := v_warnings || format('the range %s in the %s field runs backwards and %s; write %s-%s,%s-%s',
        v_item, name, v_reads, v_first, high, low, v_last);
    end if;

    v_rest := substr(v_rest, length(v_item) + 1);
    exit when v_rest not like ',%';
    v_rest := substr(v_rest, 2);
  end loop;

  if v_problem is not null then
    perform tinydev_lib.fault(422, 'schedule_invalid',
      format('the %s field cannot be "%s": %s', name, left(field, 60), v_problem),
      coalesce(v_hint, 'a field is *, a number, a range or a list of them: *, 5, 1-5, */15, 0,30'),
      jsonb_build_object('field', name, 'value', left(field, 60)));
  end if;

  if v_rest <> '' then
    v_warnings := v_warnings || format('pg_cron ignores "%s" at the end of the %s field', left(v_rest, 40), name);
  end if;

  if not v_sorted then
    v_values := array(select distinct v from unnest(v_values) v order by v);
  end if;
  return jsonb_build_object('values', v_values, 'warnings', v_warnings);
end $$;

comment on function tinydev_lib.parse_schedule_field(text, text, integer, integer, text[], integer[]) is
$$Reads one field of a cron schedule as pg_cron does: {"values":[0,30],"warnings":[]}. names stand for low, low + 1
and so on, in lower case; version is pg_cron's, {1,6}. Raises schedule_invalid (422) for what pg_cron refuses.$$;
