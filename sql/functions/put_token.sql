create or replace function tinydev_impl.put_token(p_role name, p_name text, p_sha256 text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_impl.require_session(p_role);
  insert into tinydev_impl.token (role_name, name, sha256) values (p_role, p_name, p_sha256)
  on conflict (role_name, name) where kind = 'token' do update set sha256 = excluded.sha256, created_at = clock_timestamp()
    where token.sha256 <> excluded.sha256;
end $$;

comment on function tinydev_impl.put_token(name, text, text) is
$$Stores the SHA-256 of a role's token under a name, in place of the one that had the name. Errors: TD403 not_a_user.$$;
