create or replace function tinydev_lib.is_plainly_own(relation_id oid, access text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_class c
     where c.oid = is_plainly_own.relation_id and pg_get_userbyid(c.relowner) = current_user
       and c.relkind in ('r', 'm') and not c.relhassubclass and not c.relispartition
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_type'::regclass)
       and (is_plainly_own.access = 'read'
            or is_plainly_own.access = 'write' and not c.relhastriggers))
$$;

comment on function tinydev_lib.is_plainly_own(oid, text) is
$$Whether a glance shows that reading a relation ('read') or writing to it ('write') touches nothing of another owner.$$;
