create or replace function tinydev_lib.doctor_cron() returns setof tinydev_lib.finding
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_release    integer[] := tinydev_lib.cron_release();
  v_is_loaded  boolean   := current_setting('shared_preload_libraries') ~ '(^|[ ,"/])pg_cron($|[ ,"])';
  v_is_alive   boolean   := exists (select from pg_stat_activity a where a.backend_type = 'pg_cron launcher' or a.application_name = 'pg_cron scheduler' and a.backend_type <> 'client backend');
  v_home       text      := current_setting('cron.database_name', true);
  v_by_workers boolean   := coalesce(current_setting('cron.use_background_workers', true), 'off') = 'on';
  v_runs       integer   := coalesce(current_setting('cron.max_running_jobs', true), '0')::integer;
  v_workers    integer   := current_setting('max_worker_processes')::integer;
  v_parallel   integer   := current_setting('max_parallel_workers')::integer;
  v_clients    integer   := current_setting('max_connections')::integer;
  v_canary     tinydev_impl.canary;
  v_since      timestamptz;
  v_count      bigint;
  v_last       bigint;
  v_max        bigint;
  v_name       text;
  v_library    text;
begin
  if not v_is_loaded then
    return next (null, 'settings', 'error', 'shared_preload_libraries', 'pg_cron is not in shared_preload_libraries, so PostgreSQL does not start it: no job runs',
      'alter system set shared_preload_libraries = ''pg_cron'';  -- add what else is in it, then restart PostgreSQL', false)::tinydev_lib.finding;
  elsif not v_is_alive then
    return next (null, 'launcher', 'error', 'pg_cron launcher', 'pg_cron''s launcher does not run, so no job starts. It was ended (below pg_cron 1.5 it then stays so until PostgreSQL restarts), '
      'or ends again and again, and PostgreSQL''s log says why: a job of a role that is gone, a sequence that is behind, or a trigger on its tables',
      'systemctl restart postgresql  # a private one: stop tinydev up, and start it again', false)::tinydev_lib.finding;
  end if;
  if v_is_loaded and v_home is distinct from current_database() then
    return next (null, 'settings', 'error', 'cron.database_name', format('pg_cron starts the jobs of the database %s, not those in this one, %s', v_home, current_database()),
      format('alter system set cron.database_name = %L;  -- then restart PostgreSQL', current_database()), false)::tinydev_lib.finding;
  end if;
  if current_setting('cron.launch_active_jobs', true) = 'off' then
    return next (null, 'settings', 'error', 'cron.launch_active_jobs', 'pg_cron was told to start no jobs',
      'alter system set cron.launch_active_jobs = on; select pg_reload_conf();', false)::tinydev_lib.finding;
  end if;
  if current_setting('cron.log_run', true) = 'off' then
    return next (null, 'settings', 'warn', 'cron.log_run', 'pg_cron keeps no history, so that runs that failed to start, were missed or hang are not seen',
      'alter system set cron.log_run = on;  -- then restart PostgreSQL', false)::tinydev_lib.finding;
  end if;
  if v_is_loaded and v_release >= array[1, 5] and not v_by_workers then
    return next (null, 'settings', 'warn', 'cron.use_background_workers', 'pg_cron connects over libpq for each run: it needs pg_hba.conf to let it in without a password, '
      'and above cron.max_running_jobs it reports failures of runs that succeeded, or stops', 'alter system set cron.use_background_workers = on;  -- then restart PostgreSQL', false)::tinydev_lib.finding;
  elsif v_release < array[1, 5] and v_by_workers then
    return next (null, 'settings', 'warn', 'cron.use_background_workers', format('below 1.5 (here %s) pg_cron waits for each background worker: one long job stops all others', tinydev_lib.cron_version()),
      'alter system set cron.use_background_workers = off;  -- then restart PostgreSQL', false)::tinydev_lib.finding;
  end if;
  if v_is_loaded and v_by_workers and v_runs <= 5 then
    return next (null, 'settings', 'warn', 'cron.max_running_jobs',
      format('pg_cron runs %s jobs at once. A limit above max_worker_processes - 1 (%s) is refused without a word, and 5 holds instead', v_runs, v_workers - 1),
      'alter system set max_worker_processes = 64; alter system set cron.max_running_jobs = 32;  -- then restart PostgreSQL', false)::tinydev_lib.finding;
  elsif v_is_loaded and v_by_workers and v_workers < v_runs + v_parallel + 2 then
    return next (null, 'settings', 'warn', 'max_worker_processes',
      format('%s jobs at once (cron.max_running_jobs), %s parallel workers (max_parallel_workers) and PostgreSQL''s own need %s worker processes, and max_worker_processes is %s; '
             'when they run out, pg_cron waits 10 s at full load and the job fails', v_runs, v_parallel, v_runs + v_parallel + 2, v_workers),
      format('alter system set max_worker_processes = %s;  -- then restart PostgreSQL', greatest(64, v_runs + v_parallel + 2)), false)::tinydev_lib.finding;
  elsif v_is_loaded and not v_by_workers and v_runs > v_clients - 20 then
    return next (null, 'settings', 'warn', 'cron.max_running_jobs', format('%s jobs at once (cron.max_running_jobs) leave too little of %s connections (max_connections)', v_runs, v_clients),
      format('alter system set max_connections = %s;  -- then restart PostgreSQL', v_runs + 100), false)::tinydev_lib.finding;
  end if;
  if coalesce(current_setting('cron.timezone', true), 'GMT') not in ('', 'GMT', 'UTC', 'Etc/UTC') then
    return next (null, 'settings', case when v_release < array[1, 5] then 'warn' else 'info' end, 'cron.timezone',
      format(case when v_release < array[1, 5] then 'cron.timezone is %s, but pg_cron below 1.5 ignores it: schedules are read in GMT'
                  else 'schedules in cron.job are read in %s; its changes of the clock skip runs, or repeat them' end, current_setting('cron.timezone', true)),
      'alter system set cron.timezone = ''GMT'';  -- then restart PostgreSQL', false)::tinydev_lib.finding;
  end if;
  if current_setting('cron.enable_superuser_jobs', true) = 'on' then
    return next (null, 'settings', 'warn', 'cron.enable_superuser_jobs', 'pg_cron runs jobs of superusers: who can write to cron.job, or to what such a job calls, has all rights',
      'alter system set cron.enable_superuser_jobs = off; select pg_reload_conf();', false)::tinydev_lib.finding;
  end if;
  select string_agg(t.tgname, ', ') into v_name from pg_trigger t
   where t.tgrelid = 'cron.job_run_details'::regclass and not t.tgisinternal and t.tgenabled <> 'D' and t.tgname !~ '^t[0-9]+_tinydev';
  if v_name is not null then
    return next (null, 'settings', 'warn', 'cron.job_run_details', format('it has a trigger, %s: when that raises an error, pg_cron''s launcher ends, and all jobs stop', v_name),
      format('drop trigger %I on cron.job_run_details;', split_part(v_name, ', ', 1)), false)::tinydev_lib.finding;
  end if;

  select * into v_canary from tinydev_impl.canary;
  if v_is_loaded and v_is_alive then
    v_since := tinydev_impl.cron_stalled();
    if v_since is not null then
      return next (null, 'canary', 'error', 'pg_cron', format('pg_cron has started nothing since %s, not even the system''s job of each minute: all its slots may be held by runs that hang', v_since),
        'select * from cron.job_run_details where end_time is null order by runid;  -- end what hangs, or restart PostgreSQL', false)::tinydev_lib.finding;
    elsif v_canary.ended_at > clock_timestamp() - interval '15 minutes' and v_canary.status is distinct from 'succeeded' then
      return next (null, 'canary', 'error', 'pg_cron', format('a job of the doctor''s at %s %s', v_canary.started_at,
        coalesce('failed: ' || v_canary.message, 'did not run within 5 s: pg_cron is behind, or out of slots')),
        'select * from cron.job_run_details where end_time is null order by runid;  -- end what hangs, or restart PostgreSQL', false)::tinydev_lib.finding;
    elsif v_canary.ended_at > clock_timestamp() - interval '15 minutes' then
      return next (null, 'canary', 'ok', 'pg_cron', format('a job of the doctor''s ran within %s s, at %s', round(date_part('epoch', v_canary.ran_at - v_canary.started_at)::numeric, 1), v_canary.started_at), null, false)::tinydev_lib.finding;
    end if;
  end if;

  return query
    select null::name, 'system_jobs', 'error', w.name, 'a job of the system is gone: events wait where no server runs, limits are not enforced, and history is kept for ever',
           format('select cron.schedule_in_database(%L, %L, %L, current_database(), ''tinydev_server'');  -- as a superuser', w.name, w.schedule, w.command), false
      from (values ('tinydev: place events', '* * * * *', 'call tinydev_impl.place_all()'), ('tinydev: upkeep', '17 * * * *', 'call tinydev_impl.upkeep_all()')) w(name, schedule, command)
     where not exists (select from cron.job j where j.jobname = w.name and j.username = 'tinydev_server' and j.database = current_database());
  return query
    select null::name, 'system_jobs', 'error', j.jobname::text, 'a job of the system is paused: events wait where no server runs, limits are not enforced, and history is kept for ever',
           format('update cron.job set active = true where jobid = %s;', j.jobid), true
      from cron.job j
     where j.jobname in ('tinydev: place events', 'tinydev: upkeep') and j.username = 'tinydev_server' and j.database = current_database() and not j.active
       and not exists (select from tinydev_impl.held_job h where h.job_id = j.jobid and h.held_until is not null);

  select case when s.is_called then s.last_value else s.last_value - 1 end, coalesce((select max(d.runid) from cron.job_run_details d), 0) into v_last, v_max from cron.runid_seq s;
  if v_last < v_max then
    return next (null, 'sequences', 'error', 'cron.runid_seq', format('the next run is to be number %s, and cron.job_run_details has numbers up to %s, as after a restore: pg_cron''s launcher ends at each start of a job', v_last + 1, v_max),
      'select pg_catalog.setval(''cron.runid_seq'', (select max(runid) from cron.job_run_details));', true)::tinydev_lib.finding;
  end if;
  select case when s.is_called then s.last_value else s.last_value - 1 end, coalesce((select max(j.jobid) from cron.job j), 0) into v_last, v_max from cron.jobid_seq s;
  if v_last < v_max then
    return next (null, 'sequences', 'error', 'cron.jobid_seq', format('the next job is to be number %s, and cron.job has numbers up to %s, as after a restore: jobs cannot be scheduled', v_last + 1, v_max),
      'select pg_catalog.setval(''cron.jobid_seq'', (select max(jobid) from cron.job));', true)::tinydev_lib.finding;
  end if;

  select count(*) into v_count from pg_stat_activity a
   where a.backend_type is not null and a.backend_type not in ('client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', 'walwriter', 'startup',
           'walreceiver', 'walsender', 'archiver', 'walsummarizer', 'slotsync worker', 'logger', 'io worker', 'standalone backend');
  if v_count >= 0.8 * v_workers then
    return next (null, 'worker_slots', 'warn', 'max_worker_processes', format('%s of %s worker processes are in use: when they run out, jobs fail to start', v_count, v_workers),
      format('alter system set max_worker_processes = %s;  -- then restart PostgreSQL', 2 * v_workers), false)::tinydev_lib.finding;
  end if;
  select count(*) into v_count from cron.job_run_details d join pg_stat_activity a on a.pid = d.job_pid
   where d.runid > (select max(m.runid) - 10000 from cron.job_run_details m) and d.end_time is null and a.backend_start < d.start_time + interval '10 s';
  if v_runs > 0 and v_count >= 0.8 * v_runs then
    return next (null, 'worker_slots', 'warn', 'cron.max_running_jobs', format('%s of %s jobs that pg_cron runs at once are running: others wait for their turn', v_count, v_runs),
      format('alter system set cron.max_running_jobs = %s;  -- and max_worker_processes more than that; then restart PostgreSQL', 2 * v_runs), false)::tinydev_lib.finding;
  end if;
  select count(*) into v_count from pg_stat_activity a where a.backend_type = 'client backend';
  if v_count >= 0.9 * v_clients then
    return next (null, 'worker_slots', 'warn', 'max_connections', format('%s of %s connections are in use', v_count, v_clients),
      format('alter system set max_connections = %s;  -- then restart PostgreSQL', 2 * v_clients), false)::tinydev_lib.finding;
  end if;

  select e.default_version into v_library from pg_available_extensions e where e.name = 'pg_cron' and e.default_version <> e.installed_version;
  if v_library is not null then
    return next (null, 'versions', 'warn', 'pg_cron extension', format('pg_cron %s is installed, and its extension in this database is still at %s', v_library, tinydev_lib.cron_version()),
      'alter extension pg_cron update;', false)::tinydev_lib.finding;
  end if;
end $$;

comment on function tinydev_lib.doctor_cron() is
$$What the doctor finds about pg_cron as a whole: settings, launcher, canary, system_jobs, sequences, worker_slots, versions. It names nobody.$$;
