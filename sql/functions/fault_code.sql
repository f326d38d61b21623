create or replace function tinydev_lib.fault_code(state text, detail text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when fault_code.state like 'TD%' then fault_code.detail::jsonb ->> 'code' end;
exception when invalid_text_representation then
  return null;  -- somebody else raised an error of that SQLSTATE
end $$;

comment on function tinydev_lib.fault_code(text, text) is 'The stable code of an error that tinydev_lib.fault raised, by its SQLSTATE and DETAIL; null for any other.';
