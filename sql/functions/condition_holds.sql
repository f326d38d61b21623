create or replace function tinydev_impl.condition_holds(p_condition jsonpath, p_data jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_condition is null or jsonb_path_match(p_data, p_condition, '{}', true) is true;
exception when others then
  -- Silent as it is told to be, it raises for a variable that is not given, a wrong template of datetime and the like.
  return false;
end $$;

comment on function tinydev_impl.condition_holds(jsonpath, jsonb) is
$$Whether a subscription's condition is true of the data of an event; null is, and an error in it is not.$$;
