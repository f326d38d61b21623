create or replace view tinydev.grant with (security_barrier) as
select n.nspname as workspace,
       c.relname as name,
       pg_catalog.format('%I.%I', n.nspname, c.relname) as relation,
       case c.relkind when 'm' then 'materialized view' when 'v' then 'view' when 'f' then 'foreign table' else 'table' end as kind,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       tinydev_lib.say_grantee(g.grantee) as grantee,
       pg_catalog.lower(g.privilege_type) as privilege,
       g.column_name as "column",
       pg_catalog.pg_get_userbyid(g.grantor) as granted_by,
       c.oid as relation_id
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 cross join lateral (
   select x.grantor, x.grantee, x.privilege_type, null::name as column_name from pg_catalog.aclexplode(c.relacl) x
   union all
   select x.grantor, x.grantee, x.privilege_type, a.attname
     from pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attacl is not null
 ) g
 where c.relkind in ('r', 'p', 'f', 'v', 'm')
   and n.nspname not in ('pg_catalog', 'information_schema', 'cron', 'tinydev', 'tinydev_lib', 'tinydev_impl')
   and n.nspname not like 'pg\_%'
   and g.grantee <> c.relowner
   and (pg_catalog.pg_get_userbyid(c.relowner) = current_user or g.grantee = 0 or pg_catalog.pg_has_role(current_user, g.grantee, 'usage'));

grant select on tinydev.grant to tinydev_user;

comment on view tinydev.grant is
$$What is shared, straight from PostgreSQL's catalogues, however it was granted: what you share, and what is shared with you or everyone.$$;
comment on column tinydev.grant.relation    is 'workspace.name, as one writes it in SQL';
comment on column tinydev.grant.grantee     is 'with whom: a role, everyone (the users of TinyDevCRM) or public (all roles)';
comment on column tinydev.grant.privilege   is 'select, insert, update, delete, truncate, references or trigger';
comment on column tinydev.grant."column"    is 'the column that it is about; null for the whole relation';
comment on column tinydev.grant.granted_by  is 'role that granted it';
comment on column tinydev.grant.relation_id is 'pg_class.oid';
