-- runs as: installer
create or replace function tinydev_impl.create_user_of_identity(p_name name) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.put_user(p_name::text, false, '{}', false, false);
end $$;

alter function tinydev_impl.create_user_of_identity(name) owner to tinydev_roles;
grant execute on function tinydev_impl.create_user_of_identity(name) to tinydev_owner;

comment on function tinydev_impl.create_user_of_identity(name) is
$$What tinydev_impl.resolve_identity makes users with: tinydev.create_user, for the server and without a way to make an administrator.$$;
