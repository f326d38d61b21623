create or replace function tinydev_lib.remaining_access(relation_id oid, role_id oid, privileges text[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with ways as (
    select g.grantee, lower(g.privilege_type) as privilege
      from pg_class c
     cross join lateral (
       select x.grantee, x.privilege_type from aclexplode(c.relacl) x
       union all
       select x.grantee, x.privilege_type from pg_attribute a, aclexplode(a.attacl) x where a.attrelid = c.oid and a.attacl is not null
     ) g
     where c.oid = remaining_access.relation_id
       and has_schema_privilege(remaining_access.role_id, c.relnamespace, 'usage')
       and (g.grantee = 0 or pg_has_role(remaining_access.role_id, g.grantee, 'usage'))
  )
  select coalesce(array_agg(format('%s may still %s through %s', tinydev_lib.say_grantee(remaining_access.role_id), w.privileges, tinydev_lib.say_grantee(w.grantee))
           order by w.grantee), '{}')
    from (select y.grantee, string_agg(distinct y.privilege, ', ' order by y.privilege) as privileges
            from ways y
           where y.privilege = any (remaining_access.privileges)
           group by y.grantee) w
$$;

comment on function tinydev_lib.remaining_access(oid, oid, text[]) is
$$One sentence for each grant of a relation by which a role may still use these privileges: its own, a group's that it is in, public's.$$;
