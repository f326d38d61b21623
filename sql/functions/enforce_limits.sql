create or replace function tinydev_impl.enforce_limits() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs   jsonb;
  v_ended  jsonb;
  v_over   jsonb;
  v_runs   integer[];
begin
  -- One that was scheduled while its role was dropped; it stops pg_cron's scheduler at its next start.
  with gone as (
    delete from cron.job j where j.database = current_database() and not exists (select from pg_roles r where r.rolname = j.username) returning j.jobid, j.username
  )
  select jsonb_agg(jsonb_build_object('job_id', g.jobid, 'user', g.username)) into v_jobs from gone g;

  with unwanted as materialized (
    select a.pid, r.rolname, case when r.oid is null then 'gone' else 'idle' end as why
      from pg_stat_activity a
      cross join tinydev_impl.instance i
      left join pg_roles r on r.oid = a.usesysid
      left join tinydev_impl.user_limit l on l.role_name = r.rolname
     where a.datname = current_database() and a.pid <> pg_backend_pid()
       and (a.usesysid is not null and r.oid is null
         or a.state in ('idle in transaction', 'idle in transaction (aborted)')
            and a.state_change < clock_timestamp() - make_interval(secs => coalesce(l.idle_transaction_seconds, i.idle_transaction_seconds))
            and not r.rolsuper and tinydev_impl.is_user(r.rolname))
  ), ended as materialized (
    select u.*, pg_terminate_backend(u.pid) as is_ended from unwanted u
  )
  select coalesce(jsonb_agg(jsonb_build_object('pid', e.pid, 'user', e.rolname, 'why', e.why)), '[]') into v_ended from ended e where e.is_ended;

  -- pg_cron runs a job in a background worker, or over a connection of its own, which the job can rename, so its history is asked too.
  with recent as materialized (
    select d.job_pid, d.username, d.start_time from cron.job_run_details d
     where d.runid > (select max(m.runid) - 10000 from cron.job_run_details m) and d.end_time is null and d.job_pid is not null
  ), run as materialized (
    select a.pid, r.rolname, coalesce(l.running_jobs, i.running_jobs) as allowed,
           row_number() over (partition by r.oid order by a.backend_start, a.pid) as place
      from pg_stat_activity a
      join pg_roles r on r.oid = a.usesysid
      cross join tinydev_impl.instance i
      left join tinydev_impl.user_limit l on l.role_name = r.rolname
     where a.datname = current_database() and not r.rolsuper and tinydev_impl.is_user(r.rolname)
       and (a.backend_type = 'pg_cron' or a.application_name = 'pg_cron'
         or exists (select from recent d where d.job_pid = a.pid and d.username = r.rolname
                      and d.start_time between a.backend_start - interval '10 s' and a.backend_start + interval '1 minute'))
  ), excess as materialized (
    select r.pid, r.rolname from run r where r.place > r.allowed
  ), cancelled as materialized (
    select e.*, pg_cancel_backend(e.pid) as is_cancelled from excess e
  )
  select array_agg(c.pid), coalesce(jsonb_agg(jsonb_build_object('pid', c.pid, 'user', c.rolname, 'why', 'running_jobs')), '[]') into v_runs, v_over
    from cancelled c where c.is_cancelled;
  if v_runs is not null then
    for v_turn in 1..10 loop
      perform pg_sleep(0.1);
      perform pg_stat_clear_snapshot();
      exit when not exists (select from pg_stat_activity a where a.pid = any (v_runs));
    end loop;
    perform pg_terminate_backend(a.pid) from pg_stat_activity a join pg_roles r on r.oid = a.usesysid where a.pid = any (v_runs) and not r.rolsuper;
  end if;
  return jsonb_strip_nulls(jsonb_build_object('jobs', v_jobs, 'sessions', nullif(v_ended || v_over, '[]')));
end $$;

comment on function tinydev_impl.enforce_limits() is
$$Ends what users may not go on with, whatever they set in psql: runs of pg_cron beyond running_jobs, the newest first, cancelled and after 1 s
terminated; transactions idle for longer than idle_transaction_seconds; sessions of roles that are gone, and their rows of cron.job.
Answers {"sessions":[{"pid","user","why"}],"jobs":[{"job_id","user"}]} without what there was none of; why is running_jobs, idle or gone. The
server calls it every 15 s, the system's job each minute.$$;
