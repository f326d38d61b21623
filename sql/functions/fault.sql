create or replace function tinydev_lib.fault(
  status  integer,
  code    text,
  message text,
  hint    text  default '',
  fields  jsonb default '{}'
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.raise('TD' || status, message, (jsonb_build_object('code', code) || coalesce(fields, '{}'))::text, coalesce(hint, ''));
end $$;

comment on function tinydev_lib.fault(integer, text, text, text, jsonb) is
$$Raises an error in the one shape that all doors understand: SQLSTATE TD and an HTTP status (TD404), a message for
people, DETAIL as JSON with the stable code and the offending input, HINT with the next step.$$;
