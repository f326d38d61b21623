create or replace function tinydev_lib.gone_rows(query text, deleted bigint) returns table (key jsonb, lacks boolean, image text, data jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set extra_float_digits = 1
set jit = off
as $$
begin
  return query execute gone_rows.query;
exception when others then
  -- Fewer rows than were deleted: not known. A value that is too large or a cast of the user's own may fail, and the refresh is to go on.
  raise warning 'the rows that changed are not told: %', sqlerrm;
end $$;

comment on function tinydev_lib.gone_rows(text, bigint) is
$$The rows that a query of tinydev_lib.tracked_rows gives, as the statement that calls this sees them: as they were before what it did. Being given what the refresh
returned has this come after it.$$;
