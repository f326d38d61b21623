create or replace function tinydev_impl.position_at(p_time timestamptz) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_low  bigint;
  v_high bigint;
  v_mid  bigint;
begin
  select h.oldest - 1, h.head into v_low, v_high from tinydev.event_head() h;
  while v_low < v_high loop
    v_mid := v_low + (v_high - v_low + 1) / 2;
    if (select e.occurred_at < p_time from tinydev_impl.event e where e.position >= v_mid order by e.position limit 1) then
      v_low := v_mid;
    else
      v_high := v_mid - 1;
    end if;
  end loop;
  return v_low;
end $$;

comment on function tinydev_impl.position_at(timestamptz) is
$$The position of the last event from before a time, or the one before the oldest: positions are in the order of time, or nearly so.$$;
