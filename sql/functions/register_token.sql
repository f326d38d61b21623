create or replace function tinydev_impl.register_token(p_role name, p_name text, p_sha256 text, p_prefix text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  v_token_id bigint;
begin
  perform tinydev_impl.require_session(p_role);
  -- Another secret is another token: the pages that were opened with the one before end.
  delete from tinydev_impl.token t where t.role_name = p_role and t.name = p_name and t.kind = 'token' and t.sha256 <> p_sha256;
  insert into tinydev_impl.token (role_name, name, sha256, prefix) values (p_role, p_name, p_sha256, p_prefix)
  on conflict (role_name, name) where kind = 'token' do nothing;
  select t.token_id into strict v_token_id from tinydev_impl.token t where t.role_name = p_role and t.name = p_name and t.kind = 'token';
  return v_token_id;
end $$;

comment on function tinydev_impl.register_token(name, text, text, text) is
$$Makes the token of a server's data directory known, in place of the one that had the name; nothing changes when it is known already.
Gives its token_id. Errors: TD403 not_a_user.$$;
