create or replace function tinydev.set_password(verifier text, name text default session_user, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if set_password.name is distinct from session_user then
    perform tinydev_lib.require_admin();
    perform tinydev_lib.require_user(set_password.name);
  end if;
  perform tinydev_lib.require_verifier(set_password.verifier);
  if set_password.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('alter role %I password %L;', set_password.name, set_password.verifier)));
  end if;
  if set_password.name = session_user then
    execute format('alter role %I password %L', set_password.name, set_password.verifier);
  else
    perform tinydev_lib.put_password(set_password.name, set_password.verifier);
  end if;
  return jsonb_build_object('name', set_password.name);
end $$;

comment on function tinydev.set_password(text, text, boolean) is
$$Sets your password, or as an administrator another user's, for logins over TCP. It takes a SCRAM-SHA-256 verifier and never the password
itself, which logs and pg_stat_activity would show: use tinydev user password or, for your own, \password in psql.
Answers {"name":"bob"}; with dry_run changes nothing and answers {"sql":[…]}.
Errors: TD422 verifier_invalid; TD403 admin_only, user_privileged, role_not_ours; TD404 user_not_found.$$;
