create or replace function tinydev_impl.require_token(p_token_id bigint) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token tinydev_impl.token;
begin
  select t.* into v_token from tinydev_impl.token t where t.token_id = p_token_id;
  if not found then
    perform tinydev_lib.fault(401, 'token_unknown', 'this token was revoked, or its page signed out', 'sign in again, or make another: tinydev token create');
  end if;
  if v_token.expires_at <= clock_timestamp() then
    perform tinydev_lib.fault(401, 'token_expired', format('this token expired at %s', to_char(v_token.expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
      'make another: tinydev token create');
  end if;
  perform tinydev_impl.require_session(v_token.role_name);
end $$;

comment on function tinydev_impl.require_token(bigint) is
$$Raises unless a token or a page session is still good: TD401 token_unknown, token_expired; TD403 not_a_user.$$;
