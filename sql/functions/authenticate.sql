create or replace function tinydev_impl.authenticate(
  p_sha256       text,
  out token_id   bigint,
  out role_name  name,
  out name       text,
  out kind       text,
  out read_only  boolean,
  out scopes     text[],
  out expires_at timestamptz
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token tinydev_impl.token;
begin
  select t.* into v_token from tinydev_impl.token t where t.sha256 = p_sha256;
  if not found then
    perform tinydev_lib.fault(401, 'token_unknown', 'this token is not known', 'tinydev env prints the one of this installation; tinydev token create makes others');
  end if;
  perform tinydev_impl.require_token(v_token.token_id);
  -- Not with each request, and never waiting: whoever revokes the token in an open transaction holds its row.
  update tinydev_impl.token t set last_used_at = clock_timestamp()
   where t.token_id = (select u.token_id from tinydev_impl.token u
                        where u.token_id = v_token.token_id and coalesce(u.last_used_at, '-infinity') < clock_timestamp() - interval '1 minute'
                          for no key update skip locked);
  token_id   := v_token.token_id;
  role_name  := v_token.role_name;
  name       := v_token.name;
  kind       := v_token.kind;
  read_only  := v_token.read_only;
  scopes     := v_token.scopes;
  expires_at := v_token.expires_at;
end $$;

comment on function tinydev_impl.authenticate(text) is
$$Whom a token or a page session speaks for, by the SHA-256 of its secret in hexadecimal, and what it may do; scopes null is all.
Notes the use, at most once a minute. Errors: TD401 token_unknown, token_expired; TD403 not_a_user.$$;
