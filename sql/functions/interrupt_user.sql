-- runs as: installer
create or replace function tinydev_lib.interrupt_user(name text) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_user(interrupt_user.name);
  return tinydev_impl.end_sessions(interrupt_user.name);
end $$;

alter function tinydev_lib.interrupt_user(text) owner to tinydev_roles;

comment on function tinydev_lib.interrupt_user(text) is
$$Ends the sessions of a user in this database, for administrators whom one of its open transactions keeps from taking something away. Answers how many.$$;
