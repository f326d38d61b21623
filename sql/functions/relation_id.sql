create or replace function tinydev_impl.relation_id(p_name text) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = (parse_ident(p_name))[1] and c.relname = (parse_ident(p_name))[2]
$$;

comment on function tinydev_impl.relation_id(text) is 'The oid of a relation by its full name, also in a schema that one may not use; null when there is none.';
