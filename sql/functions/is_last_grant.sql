create or replace function tinydev_lib.is_last_grant(schema_id oid, relation_id oid, role_id oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_namespace n, aclexplode(n.nspacl) g
                  where n.oid = is_last_grant.schema_id and g.grantee = is_last_grant.role_id and g.privilege_type = 'USAGE')
     and not exists (
       select from pg_class c, aclexplode(c.relacl) g
        where c.relnamespace = is_last_grant.schema_id and c.oid <> is_last_grant.relation_id and g.grantee = is_last_grant.role_id
       union all
       select from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) g
        where c.relnamespace = is_last_grant.schema_id and c.oid <> is_last_grant.relation_id and a.attacl is not null and g.grantee = is_last_grant.role_id
       union all
       select from pg_proc p, aclexplode(p.proacl) g where p.pronamespace = is_last_grant.schema_id and g.grantee = is_last_grant.role_id
       union all
       select from pg_type t, aclexplode(t.typacl) g where t.typnamespace = is_last_grant.schema_id and g.grantee = is_last_grant.role_id)
$$;

comment on function tinydev_lib.is_last_grant(oid, oid, oid) is
$$Whether a role has USAGE on a schema for the sake of one relation only: nothing else in it was granted to that role.$$;
