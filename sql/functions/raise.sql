create or replace function tinydev_lib.raise(state text, message text, detail text, hint text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- An empty DETAIL or HINT would be printed as an empty line.
  if detail <> '' and hint <> '' then
    raise exception using errcode = state, message = message, detail = detail, hint = hint;
  elsif detail <> '' then
    raise exception using errcode = state, message = message, detail = detail;
  elsif hint <> '' then
    raise exception using errcode = state, message = message, hint = hint;
  else
    raise exception using errcode = state, message = message;
  end if;
end $$;

comment on function tinydev_lib.raise(text, text, text, text) is 'Raises an error with the given SQLSTATE; empty detail and hint are left out.';
