create or replace function tinydev_lib.written_code(role name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select o.type || ' ' || o.identity from tinydev_lib.owned_objects(written_code.role) o
     where o.type in ('function', 'procedure', 'aggregate', 'view', 'materialized view')
    union all
    select format('trigger %I on %s', t.tgname, c.oid::regclass) from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where pg_get_userbyid(c.relowner) = written_code.role and not t.tgisinternal
    union all
    select format('row security policy %I on %s', p.polname, c.oid::regclass) from pg_policy p join pg_class c on c.oid = p.polrelid
     where pg_get_userbyid(c.relowner) = written_code.role
    union all
    select format('default of column %I of %s', a.attname, c.oid::regclass)
      from pg_attrdef f join pg_class c on c.oid = f.adrelid join pg_attribute a on a.attrelid = c.oid and a.attnum = f.adnum
     where pg_get_userbyid(c.relowner) = written_code.role
       and exists (select from pg_depend p join pg_proc r on r.oid = p.refobjid
                    where p.classid = 'pg_attrdef'::regclass and p.objid = f.oid and p.refclassid = 'pg_proc'::regclass
                      and pg_get_userbyid(r.proowner) = written_code.role)
     order by 1)
$$;

comment on function tinydev_lib.written_code(name) is
$$What a role owns that is code: functions, views, triggers, row policies, and column defaults that call its functions.$$;
