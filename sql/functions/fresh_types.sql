create or replace function tinydev_impl.fresh_types() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select array['view.refreshed', 'view.created', 'view.replaced', 'table.loaded'] $$;

comment on function tinydev_impl.fresh_types() is
$$The types of events that make their subject fresh. Only who may refresh a view or load into a table may record them.$$;
