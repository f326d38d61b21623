create or replace function tinydev_impl.passed_times(p_state tinydev_impl.job_state, p_until timestamptz) returns timestamptz[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most constant integer := 1000;
  v_due  timestamptz[] := array(select d from tinydev_lib.due_times(p_state.schedule, p_state.time_zone, c_most, p_state.handled_to, p_until) d order by d);
begin
  if cardinality(v_due) = c_most then
    -- After a long time only the ends are looked at.
    v_due := v_due || array(select d from tinydev_lib.due_times(p_state.schedule, p_state.time_zone, c_most, greatest(v_due[c_most], p_until - c_most * interval '1 minute'), p_until) d order by d);
  end if;
  return v_due;
end $$;

comment on function tinydev_impl.passed_times(tinydev_impl.job_state, timestamptz) is
$$The times at which a job was due after handled_to, and none after another time, in order. Of more than 1000 those between the first 1000 and the last 1000 minutes are left out.$$;
