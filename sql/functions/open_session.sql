create or replace function tinydev_impl.open_session(
  p_sha256     text,
  p_role       name,
  p_parent_id  bigint,
  p_name       text,
  p_read_only  boolean,
  p_expires_at timestamptz,
  p_method     text,
  out token_id   bigint,
  out expires_at timestamptz
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most   constant integer := 100;
  v_parent tinydev_impl.token;
begin
  perform tinydev_impl.require_session(p_role);
  if p_parent_id is not null then
    -- One that is about to be revoked counts as revoked: nobody may keep the server waiting.
    select t.* into v_parent from tinydev_impl.token t
     where t.token_id = p_parent_id and t.role_name = p_role and t.kind = 'token' and coalesce(t.expires_at > clock_timestamp(), true)
       for key share skip locked;
    if not found then
      perform tinydev_lib.fault(401, 'token_unknown', 'this token was revoked', 'make another: tinydev token create');
    end if;
    if v_parent.scopes is not null then
      perform tinydev_lib.fault(403, 'token_scoped', 'a token with scopes does not sign in to the pages, which do more than it may',
        'use one without: tinydev token create --name pages');
    end if;
  end if;
  open_session.expires_at := least(clock_timestamp() + interval '30 days', p_expires_at, v_parent.expires_at);
  delete from tinydev_impl.token t
   where t.token_id in (select o.token_id from tinydev_impl.token o where o.role_name = p_role and o.kind = 'session'
                         order by o.token_id desc offset c_most - 1 for update skip locked);
  insert into tinydev_impl.token (kind, role_name, name, sha256, parent_id, read_only, expires_at, last_used_at)
  values ('session', p_role, coalesce(v_parent.name, p_name), p_sha256, p_parent_id, p_read_only or coalesce(v_parent.read_only, false),
          open_session.expires_at, clock_timestamp())
  returning token.token_id into open_session.token_id;
  perform tinydev_impl.audit_sign_in(p_role, p_method, null, jsonb_strip_nulls(jsonb_build_object('token', v_parent.name)));
end $$;

comment on function tinydev_impl.open_session(text, name, bigint, text, boolean, timestamptz, text) is
$$Opens a page session of a role by the SHA-256 of its secret, for 30 days at most. It ends with the token it was opened with, p_parent_id,
and may do no more than that one; null is none, such as after a sign-on elsewhere. p_method is token, code or oidc, for the audit. A role has
100 sessions at most: the oldest ends. Errors: TD401 token_unknown; TD403 not_a_user, token_scoped.$$;
