create or replace function tinydev_impl.token_role(p_sha256 text) returns name
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role name;
begin
  select t.role_name into v_role from tinydev_impl.token t where t.sha256 = p_sha256;
  if not found then
    perform tinydev_lib.fault(401, 'token_unknown', 'this token is not known', 'tinydev env prints the one of this installation');
  end if;
  perform tinydev_impl.require_session(v_role);
  return v_role;
end $$;

comment on function tinydev_impl.token_role(text) is
$$The role that a token speaks for, by the token's SHA-256 in hexadecimal. Errors: TD401 token_unknown; TD403 not_a_user.$$;
