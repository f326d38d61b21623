create or replace function tinydev_lib.scopes() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select array['doctor', 'events', 'freshness', 'jobs', 'settings', 'sharing', 'subscriptions', 'tables', 'tokens', 'triggers', 'uploads', 'users', 'views'] $$;

comment on function tinydev_lib.scopes() is
$$The groups of calls of the HTTP API that a token can be narrowed to: the tags in its description.$$;
