create or replace function tinydev_lib.spread_schedule(schedule text, time_zone text, seed text, job_id bigint default null) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  c_names  constant text[] := array['minute', 'hour'];
  c_count  constant integer[] := array[60, 24];
  v_fields text[] := regexp_split_to_array(btrim(spread_schedule.schedule, E' \t\n'), E'[ \t]+');
  v_match  text[];
  v_step   integer[] := array[null, null]::integer[];  -- of the fields that have an H
  v_first  integer[];
  v_parsed jsonb;
  v_shift  integer;
  v_load   integer[];
begin
  if cardinality(v_fields) <> 5 then
    return spread_schedule.schedule;
  end if;
  for i in 1..2 loop
    v_match := regexp_match(v_fields[i], '^H(/([0-9]{1,4}))?$');
    continue when v_match is null;
    v_step[i] := coalesce(v_match[2]::integer, c_count[i]);
    if v_match[2] is not null and v_step[i] not between 1 and c_count[i] - 1 then
      perform tinydev_lib.fault(422, 'schedule_invalid', format('the %s field cannot be "%s": a step goes from 1 to %s', c_names[i], v_fields[i], c_count[i] - 1), 'H alone is one of all',
        jsonb_build_object('field', c_names[i], 'value', v_fields[i]));
    end if;
    v_fields[i] := '*';
  end loop;
  if num_nulls(v_step[1], v_step[2]) = 2 then
    return spread_schedule.schedule;
  end if;
  v_parsed := tinydev_lib.parse_schedule(array_to_string(v_fields, ' '));
  v_load := tinydev_lib.jobs_by_minute(spread_schedule.job_id);
  -- As the two clocks are apart now.
  v_shift := round(date_part('epoch', (now() at time zone tinydev_lib.cron_time_zone()) - (now() at time zone spread_schedule.time_zone)) / 60);
  select array[t.minute, t.hour] into v_first
    from (select m::integer % v_step[1] as minute, h::integer % v_step[2] as hour, v_load[(h::integer * 60 + m::integer + v_shift + 2880) % 1440 + 1] as jobs
            from jsonb_array_elements_text(v_parsed -> 'minutes') m, jsonb_array_elements_text(v_parsed -> 'hours') h) t
   group by t.minute, t.hour
   order by max(t.jobs), sum(t.jobs), md5(concat_ws(' ', spread_schedule.seed, t.minute, t.hour))
   limit 1;
  for i in 1..2 loop
    continue when v_step[i] is null;
    v_fields[i] := case when v_first[i] + v_step[i] >= c_count[i] then v_first[i]::text
                        when v_first[i] = 0 then format('*/%s', v_step[i])
                        else format('%s-%s/%s', v_first[i], c_count[i] - 1, v_step[i]) end;
  end loop;
  return array_to_string(v_fields, ' ');
end $$;

comment on function tinydev_lib.spread_schedule(text, text, text, bigint) is
$$Puts numbers in place of H and H/15 in the minute and hour field: those at whose times the fewest jobs of pg_cron are due, of all users, first by the most crowded of its times, then
by all of them; of equals a hash of seed decides. A schedule without H stays as it is. job_id is the job that is to have it, which does not count.
Errors: TD422 schedule_invalid.$$;
