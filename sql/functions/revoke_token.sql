create or replace function tinydev.revoke_token(token_id bigint, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_token record;
begin
  -- Another's answers like one that is not there, so that ids tell nothing.
  select t.token_id, t.user_name, t.name into v_token from tinydev.token t where t.token_id = revoke_token.token_id;
  if not found then
    perform tinydev_lib.fault(404, 'token_not_found', format('you have no token %s', revoke_token.token_id), 'select * from tinydev.token lists them');
  end if;
  if revoke_token.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select tinydev.revoke_token(%s);', v_token.token_id)));
  end if;
  begin
    insert into tinydev_lib.own_removal (role_name, token_id) values (v_token.user_name, v_token.token_id);
  exception when lock_not_available then
    -- A user's own open transaction keeps no administrator from it.
    if v_token.user_name = current_user then
      perform tinydev_lib.fault(503, 'locked', 'another of your transactions holds this token', 'end it, and try again');
    end if;
    perform tinydev_lib.interrupt_user(v_token.user_name);
    insert into tinydev_lib.own_removal (role_name, token_id) values (v_token.user_name, v_token.token_id);
  end;
  return jsonb_build_object('revoked', v_token.token_id, 'user', v_token.user_name, 'name', v_token.name);
end $$;

comment on function tinydev.revoke_token(bigint, boolean) is
$$Revokes a token or ends a page session: yours, or as an administrator anybody's. Page sessions that were opened with the token end too. It takes
effect within 3 seconds, for streams that are open within 60. Answers {"revoked":7,"user":"bob","name":"laptop"}; with dry_run revokes nothing
and answers {"sql":[…]}. Errors: TD404 token_not_found.$$;

create or replace function tinydev.revoke_token(name text, for_user text default current_user, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token_id bigint;
begin
  select t.token_id into v_token_id from tinydev.token t
   where t.user_name = coalesce(revoke_token.for_user, current_user) and t.name = revoke_token.name and t.kind = 'token';
  if not found then
    perform tinydev_lib.fault(404, 'token_not_found', format('you have no token %L', revoke_token.name), 'select * from tinydev.token lists them');
  end if;
  return tinydev.revoke_token(v_token_id, revoke_token.dry_run);
end $$;

comment on function tinydev.revoke_token(text, text, boolean) is
$$Revokes a token by its name: yours, or as an administrator another user's. Otherwise as revoke_token(token_id).
Example: select tinydev.revoke_token('laptop'); Errors: TD404 token_not_found.$$;
