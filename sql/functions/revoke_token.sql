create or replace function tinydev.revoke_token(token_id bigint, dry_run boolean default false) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token tinydev_impl.token;
begin
  -- Another's answers like one that is not there, so that ids tell nothing.
  select t.* into v_token from tinydev_impl.token t
   where t.token_id = revoke_token.token_id and (t.role_name = session_user or pg_has_role(session_user, 'tinydev_admin', 'member'));
  if not found then
    perform tinydev_lib.fault(404, 'token_not_found', format('you have no token %s', revoke_token.token_id), 'select * from tinydev.token lists them');
  end if;
  if revoke_token.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select tinydev.revoke_token(%s);', v_token.token_id)));
  end if;
  delete from tinydev_impl.token t where t.token_id = v_token.token_id;
  return jsonb_build_object('revoked', v_token.token_id, 'user', v_token.role_name, 'name', v_token.name);
end $$;

comment on function tinydev.revoke_token(bigint, boolean) is
$$Revokes a token or ends a page session: yours, or as an administrator anybody's. Page sessions that were opened with the token end too. It takes
effect within 3 seconds, for streams that are open within 60. Answers {"revoked":7,"user":"bob","name":"laptop"}; with dry_run revokes nothing
and answers {"sql":[…]}. Errors: TD404 token_not_found.$$;

create or replace function tinydev.revoke_token(name text, for_user text default session_user, dry_run boolean default false) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token_id bigint;
begin
  select t.token_id into v_token_id from tinydev_impl.token t
   where t.role_name = coalesce(revoke_token.for_user, session_user) and t.name = revoke_token.name and t.kind = 'token'
     and (t.role_name = session_user or pg_has_role(session_user, 'tinydev_admin', 'member'));
  if not found then
    perform tinydev_lib.fault(404, 'token_not_found', format('you have no token %L', revoke_token.name), 'select * from tinydev.token lists them');
  end if;
  return tinydev.revoke_token(v_token_id, revoke_token.dry_run);
end $$;

comment on function tinydev.revoke_token(text, text, boolean) is
$$Revokes a token by its name: yours, or as an administrator another user's. Otherwise as revoke_token(token_id).
Example: select tinydev.revoke_token('laptop'); Errors: TD404 token_not_found.$$;
