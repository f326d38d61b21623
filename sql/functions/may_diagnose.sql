-- No SET clause, so that PostgreSQL inlines it.
create or replace function tinydev_lib.may_diagnose(owner name) returns boolean
language sql stable
as $$
  select may_diagnose.owner operator(pg_catalog.=) current_user
      or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
      or current_user operator(pg_catalog.=) any (array['tinydev_owner', 'tinydev_server']::pg_catalog.name[])
$$;

comment on function tinydev_lib.may_diagnose(name) is
$$Whether the doctor tells you about what is a role's: your own, for administrators and the server everybody's.$$;
