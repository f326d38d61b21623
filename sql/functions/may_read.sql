create or replace function tinydev_lib.may_read(view text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  -- By oid: looking a name up raises an error without USAGE on its schema.
  select coalesce((select has_table_privilege(c.oid, 'select')
                     from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = (parse_ident(may_read.view))[1] and c.relname = (parse_ident(may_read.view))[2]), false)
$$;

comment on function tinydev_lib.may_read(text) is 'Whether you may read a relation, named as format(''%I.%I'') writes it; false for null and for what is not there.';
