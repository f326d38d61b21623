create or replace function tinydev_lib.milliseconds_since(start timestamptz) returns bigint
language sql volatile
as $$ select (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() operator(pg_catalog.-) start) operator(pg_catalog.*) 1000)::bigint $$;

comment on function tinydev_lib.milliseconds_since(timestamptz) is 'Whole milliseconds from a time until now, by the clock on the wall.';
