-- Applied after all functions, so that what is new has the owner and the rights that its schema says.
do $$
declare
  v_object record;
begin
  for v_object in
    select p.oid::pg_catalog.regprocedure as name, n.nspname as schema, pg_catalog.pg_get_userbyid(p.proowner) as owner,
           case p.prokind when 'p' then 'procedure' else 'function' end as kind
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('tinydev', 'tinydev_lib', 'tinydev_impl')
  loop
    execute pg_catalog.format('revoke execute on %s %s from public', v_object.kind, v_object.name);
    if v_object.owner not in ('tinydev_owner', 'tinydev_roles') then
      raise exception '% belongs to %', v_object.name, v_object.owner;
    end if;
    if v_object.owner = 'tinydev_roles' and v_object.schema <> 'tinydev_impl' then
      execute pg_catalog.format('grant execute on %s %s to tinydev_admin', v_object.kind, v_object.name);
    elsif v_object.schema in ('tinydev', 'tinydev_lib') then
      execute pg_catalog.format('grant execute on %s %s to tinydev_user, tinydev_server, tinydev_roles', v_object.kind, v_object.name);
    else
      execute pg_catalog.format('grant execute on %s %s to tinydev_server', v_object.kind, v_object.name);
    end if;
  end loop;
end $$;

-- pg_cron lets everybody delete their own runs. Who may delete may also lock the table, or the row of a run that is under way, and for
-- as long pg_cron's launcher, which writes there, starts nobody's jobs.
revoke delete on cron.job_run_details from public;

-- The system's own jobs run as the server's login.
do $$
declare
  v_job record;
begin
  for v_job in
    select * from (values
      ('tinydev: place events', '* * * * *', 'call tinydev_impl.place_all()'),
      ('tinydev: upkeep', '17 * * * *', 'call tinydev_impl.upkeep_all()')
    ) as job (name, schedule, command)
  loop
    perform cron.schedule_in_database(v_job.name, v_job.schedule, v_job.command, pg_catalog.current_database(), 'tinydev_server');
  end loop;
end $$;

-- From 15 on the right to limit temporary files can be granted.
do $$
begin
  if pg_catalog.current_setting('server_version_num')::integer >= 150000 then
    execute 'grant set on parameter temp_file_limit to tinydev_roles';
  end if;
end $$;

-- tern made it, as the one who installs; the server reads it to see whether it fits.
alter table tinydev_impl.schema_version owner to tinydev_owner;
grant select on tinydev_impl.schema_version to tinydev_server;
