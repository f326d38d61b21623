create or replace function tinydev_lib.relation_columns(relation_id oid) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
           'name', a.attname,
           'type', format_type(a.atttypid, a.atttypmod),
           'nullable', not a.attnotnull,
           'has_default', a.atthasdef or a.attidentity <> '',
           'generated', a.attgenerated <> '' or a.attidentity = 'a') order by a.attnum), '[]')
    from pg_attribute a
   where a.attrelid = relation_columns.relation_id and a.attnum > 0 and not a.attisdropped
$$;

comment on function tinydev_lib.relation_columns(oid) is
$$The columns of a relation, in order: [{"name":"Date","type":"date","nullable":true,"has_default":false,"generated":false}].
generated is true for columns that a load cannot set.$$;
