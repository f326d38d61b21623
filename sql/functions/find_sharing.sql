create or replace function tinydev_lib.find_sharing(
  relation text, grantee text, privilege text,
  out relation_id oid, out full_name text, out schema_id oid, out schema_name name, out noun text, out role_id oid, out role_name name
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner name;
begin
  if find_sharing.privilege not in ('select', 'insert', 'update', 'delete', 'all') or find_sharing.privilege is null then
    perform tinydev_lib.fault(422, 'privilege_invalid', format('%L is not a privilege', find_sharing.privilege), 'write select, insert, update, delete or all');
  end if;
  select f.relation_id, f.full_name, f.owner into find_sharing.relation_id, find_sharing.full_name, v_owner
    from tinydev_lib.find_relation(find_sharing.relation, 'any') f;
  perform tinydev_lib.require_owner(find_sharing.full_name, v_owner);
  select n.oid, n.nspname, case when c.relkind in ('v', 'm') then 'view' else 'table' end
    into find_sharing.schema_id, find_sharing.schema_name, find_sharing.noun
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = find_sharing.relation_id;
  select r.oid, r.rolname into find_sharing.role_id, find_sharing.role_name
    from pg_roles r
   where r.rolname = case find_sharing.grantee when 'everyone' then 'tinydev_user' else find_sharing.grantee end
     and (find_sharing.grantee = 'everyone' or exists (select from pg_auth_members m where m.roleid = 'tinydev_user'::regrole and m.member = r.oid));
  if not found then
    perform tinydev_lib.fault(404, 'user_not_found', format('there is no user %s', quote_ident(coalesce(find_sharing.grantee, ''))), 'write a user''s name, or everyone');
  end if;
  if find_sharing.role_name = v_owner then
    perform tinydev_lib.fault(422, 'grantee_invalid', format('%s is yours already', find_sharing.full_name), 'name another user, or everyone');
  end if;
end $$;

comment on function tinydev_lib.find_sharing(text, text, text) is
$$What tinydev.share and tinydev.unshare begin with: the relation, which has to be the caller's, its schema, and the role to share it with.
Errors: TD404 relation_not_found, user_not_found; TD403 not_owner; TD422 privilege_invalid, grantee_invalid.$$;
