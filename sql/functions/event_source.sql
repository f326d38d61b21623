create or replace function tinydev.event_source() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select 'urn:uuid:' || instance_id from tinydev_impl.instance $$;

comment on function tinydev.event_source() is
$$Names this installation, as the "source" of its events.$$;
