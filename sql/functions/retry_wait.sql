create or replace function tinydev_lib.retry_wait(attempt integer) returns interval
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select make_interval(secs => least(30 * 2 ^ least(attempt, 20), 3600) * (0.9 + 0.2 * random())) $$;

comment on function tinydev_lib.retry_wait(integer) is
$$How long a job waits after so many attempts that failed one after the other, 0 for the first: 30 s, 1 min, 2 min and so on up to an hour, up to a tenth more or less.$$;
