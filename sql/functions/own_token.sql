create or replace view tinydev_lib.own_token with (security_barrier) as
select t.token_id, t.role_name, t.name, t.sha256, t.prefix, t.read_only, t.scopes, t.expires_at, t.created_at, t.created_by
  from tinydev_impl.token t
 where t.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
with check option;

alter view tinydev_lib.own_token alter column created_by set default current_user;

grant select (token_id, role_name, name, prefix, read_only, scopes, expires_at, created_at),
      insert (role_name, name, sha256, prefix, read_only, scopes, expires_at) on tinydev_lib.own_token to tinydev_user;

comment on view tinydev_lib.own_token is
$$What tinydev.create_token writes to: tokens of the role in force (current_user), for administrators everybody's. See tinydev_lib.own_trust
for why it is a view.$$;
