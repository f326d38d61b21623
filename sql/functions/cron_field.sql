create or replace function tinydev_impl.cron_field(p_field text, p_place integer) returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  c_low   constant integer[] := array[0, 0, 1, 1, 0];
  c_high  constant integer[] := array[59, 23, 31, 12, 7];
  v_field jsonb;
begin
  v_field := tinydev_lib.parse_schedule_field(p_field, '', c_low[p_place], c_high[p_place], case p_place
      when 4 then array['jan','feb','mar','apr','may','jun','jul','aug','sep','oct','nov','dec']
      when 5 then array['sun','mon','tue','wed','thu','fri','sat'] end, tinydev_lib.cron_release());
  -- Sunday is 0 and 7.
  return array(select distinct case p_place when 5 then v::integer % 7 else v::integer end from jsonb_array_elements_text(v_field -> 'values') v order by 1);
exception when others then
  return '{}';  -- such as $, the last day
end $$;

comment on function tinydev_impl.cron_field(text, integer) is 'The values of one of the five fields of a row of cron.job; none for one that is not read.';
