-- runs as: installer
create or replace function tinydev_lib.put_password(name text, verifier text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_user(put_password.name);
  perform tinydev_lib.require_verifier(put_password.verifier);
  execute format('alter role %I password %L', put_password.name, put_password.verifier);
  perform tinydev_impl.audit('password.changed', put_password.name, '');
end $$;

alter function tinydev_lib.put_password(text, text) owner to tinydev_roles;

comment on function tinydev_lib.put_password(text, text) is
$$Gives another user a password, with the right to make roles. For administrators. Errors: TD404 user_not_found; TD403 user_privileged, role_not_ours;
TD422 verifier_invalid.$$;
