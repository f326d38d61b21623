-- Roles belong to the whole server, so another database may have made them already.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['tinydev_owner', 'tinydev_roles', 'tinydev_reader', 'tinydev_server', 'tinydev_user', 'tinydev_admin'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      execute pg_catalog.format('create role %I', v_role);
    end if;
  end loop;
end $$;

alter role tinydev_owner  nologin bypassrls;
alter role tinydev_roles  nologin createrole;
alter role tinydev_reader nologin;
alter role tinydev_server login;
alter role tinydev_user   nologin;
alter role tinydev_admin  nologin;
grant pg_monitor, pg_signal_backend to tinydev_owner;
-- From 16 on a role with CREATEROLE may grant only what it holds with the admin option.
grant tinydev_user  to tinydev_roles with admin option;
grant tinydev_admin to tinydev_roles with admin option;

comment on role tinydev_owner  is 'Owns the objects of TinyDevCRM; nobody logs in as it.';
comment on role tinydev_roles  is 'Owns just the functions that make and drop users; nobody logs in as it.';
comment on role tinydev_reader is 'Owns just the view tinydev.event, so that row security holds in it; nobody logs in as it.';
comment on role tinydev_server is 'The login of the tinydev server; holds no right to any user''s data.';
comment on role tinydev_user   is 'Group of all users of TinyDevCRM.';
comment on role tinydev_admin  is 'Group of the users who may make and drop users and see all events.';

create schema tinydev authorization tinydev_owner;
create schema tinydev_lib authorization tinydev_owner;
create schema if not exists tinydev_impl;
alter schema tinydev_impl owner to tinydev_owner;
comment on schema tinydev      is 'TinyDevCRM: what a user may call and read. Start with \df tinydev.* and \dv tinydev.*';
comment on schema tinydev_lib  is 'TinyDevCRM: what the verbs in tinydev are made of; it may change with any version.';
comment on schema tinydev_impl is 'TinyDevCRM: private tables and functions.';

grant usage on schema tinydev, tinydev_lib to tinydev_user, tinydev_server, tinydev_roles;
grant usage on schema tinydev_impl to tinydev_server;
grant usage, create on schema tinydev, tinydev_impl to tinydev_roles;
grant usage, create on schema tinydev to tinydev_reader;

do $$
begin
  execute pg_catalog.format('grant connect on database %I to tinydev_user, tinydev_server', pg_catalog.current_database());
  execute pg_catalog.format('grant create on database %I to tinydev_roles', pg_catalog.current_database());
end $$;

-- pg_cron's row security hides other people's jobs; our definer views show a job's health to all who may read its view.
grant usage on schema cron to tinydev_user, tinydev_server, tinydev_owner;
grant select, delete on cron.job, cron.job_run_details to tinydev_owner;
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid::pg_catalog.regprocedure from pg_catalog.pg_proc p
     where p.pronamespace = 'cron'::pg_catalog.regnamespace and p.proname in ('schedule', 'schedule_in_database', 'unschedule', 'alter_job')
  loop
    execute pg_catalog.format('grant execute on function %s to tinydev_user', v_function);
  end loop;
end $$;

---- create above / drop below ----
