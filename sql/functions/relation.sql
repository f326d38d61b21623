create or replace view tinydev.relation with (security_barrier) as
select n.nspname as workspace,
       c.relname as name,
       case c.relkind when 'm' then 'materialized view' when 'v' then 'view' when 'f' then 'foreign table' else 'table' end as kind,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       c.relispopulated as is_populated,
       c.reltuples::bigint as row_estimate,
       tinydev_lib.relation_bytes(c.oid) as total_bytes,
       c.relkind = 'm' and c.relispopulated and exists (
         select from pg_catalog.pg_index i
          where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
       ) as can_refresh_concurrently,
       pg_catalog.obj_description(c.oid, 'pg_class') as comment,
       c.oid as relation_id
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'f', 'v', 'm')
   and not c.relispartition
   and n.nspname not in ('pg_catalog', 'information_schema', 'cron', 'tinydev', 'tinydev_lib', 'tinydev_impl')
   and n.nspname not like 'pg\_%'
   and (pg_catalog.pg_get_userbyid(c.relowner) = current_user or pg_catalog.has_table_privilege(c.oid, 'select') or pg_catalog.has_any_column_privilege(c.oid, 'select'));

grant select on tinydev.relation to tinydev_user;

comment on view tinydev.relation is
$$The tables and views that you may read, straight from PostgreSQL's catalogues, however they were made.$$;
comment on column tinydev.relation.row_estimate is 'the planner''s estimate; -1 or 0 when never analysed';
comment on column tinydev.relation.total_bytes is 'size on disk with indexes and long values; -1 while it is locked';
comment on column tinydev.relation.can_refresh_concurrently is 'whether a refresh leaves readers unblocked: populated, and a unique index on plain columns';
comment on column tinydev.relation.relation_id is 'pg_class.oid';
