create or replace function tinydev_impl.enforce_limits() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs   jsonb;
  v_ended  jsonb;
  v_over   jsonb;
  v_runs   integer[];
  v_held   bigint[];
  v_freed  jsonb;
  v_paused jsonb;
  v_kept   bigint[];
  v_many   name[];
begin
  v_freed := tinydev_impl.free_slots();
  -- A job that its user changed meanwhile has no row any more.
  with due as materialized (
    update tinydev_impl.held_job h set held_until = null
      from (select d.job_id, d.held_until from tinydev_impl.held_job d where d.held_until <= clock_timestamp() for update skip locked) o
     where o.job_id = h.job_id returning h.job_id
  )
  update cron.job j set active = true from due d where j.jobid = d.job_id and not j.active;

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
    select d.runid, d.jobid, d.job_pid, d.username, d.start_time from cron.job_run_details d
     where d.runid > (select max(m.runid) - 10000 from cron.job_run_details m) and d.end_time is null and d.job_pid is not null
  ), run as materialized (
    select a.pid, r.rolname, o.jobid, coalesce(l.running_jobs, i.running_jobs) as allowed,
           row_number() over (partition by r.oid order by a.backend_start, a.pid) as place, count(*) over (partition by r.oid) as total
      from pg_stat_activity a
      join pg_roles r on r.oid = a.usesysid
      cross join tinydev_impl.instance i
      left join tinydev_impl.user_limit l on l.role_name = r.rolname
      left join lateral (
        select d.jobid from recent d where d.job_pid = a.pid and d.username = r.rolname
           and d.start_time between a.backend_start - interval '10 s' and a.backend_start + interval '1 minute' order by d.runid desc limit 1
      ) o on true
     where a.datname = current_database() and not r.rolsuper and tinydev_impl.is_user(r.rolname)
       and (a.backend_type = 'pg_cron' or a.application_name = 'pg_cron' or o.jobid is not null)
  ), cancelled as materialized (
    select r.*, pg_cancel_backend(r.pid) as is_cancelled from run r where r.place > r.allowed
  )
  select array_agg(c.pid) filter (where c.is_cancelled),
         coalesce(jsonb_agg(jsonb_build_object('pid', c.pid, 'user', c.rolname, 'why', 'running_jobs')) filter (where c.is_cancelled), '[]'),
         array_agg(distinct c.jobid) filter (where c.jobid is not null), array_agg(distinct c.rolname) filter (where c.total >= 2 * c.allowed),
         (select coalesce(array_agg(r.jobid), '{}') from run r where r.place <= r.allowed and r.jobid is not null)
    into v_runs, v_over, v_held, v_many, v_kept from cancelled c;
  -- Else pg_cron would start them anew, or the next ones of the same user, before anybody else's.
  with held as materialized (
    update cron.job j set active = false
     where j.jobid in (select o.jobid from cron.job o where o.active and o.jobid <> all (v_kept) and (o.jobid = any (v_held) or o.username = any (v_many)) for no key update skip locked)
    returning j.jobid, j.username
  ), noted as (
    insert into tinydev_impl.held_job (job_id, held_until) select h.jobid, clock_timestamp() + interval '15 minutes' from held h
    on conflict (job_id) do update set held_until = excluded.held_until
  ), told as materialized (
    select tinydev_impl.audit('job.held', h.username, null, jsonb_build_object('jobs', jsonb_agg(h.jobid order by h.jobid))) from held h group by h.username
  )
  select jsonb_agg(distinct h.jobid) into v_paused from held h where (select count(*) from told) >= 0;
  if v_runs is not null then
    for v_turn in 1..10 loop
      perform pg_sleep(0.1);
      perform pg_stat_clear_snapshot();
      exit when not exists (select from pg_stat_activity a where a.pid = any (v_runs));
    end loop;
    perform pg_terminate_backend(a.pid) from pg_stat_activity a join pg_roles r on r.oid = a.usesysid where a.pid = any (v_runs) and not r.rolsuper;
  end if;
  return jsonb_strip_nulls(jsonb_build_object('jobs', v_jobs, 'sessions', nullif(v_ended || v_over, '[]'), 'held', v_paused, 'freed', v_freed));
end $$;

comment on function tinydev_impl.enforce_limits() is
$$Ends what users may not go on with, whatever they set in psql: runs of pg_cron beyond running_jobs, the newest first, cancelled and after 1 s
terminated, their jobs paused for 15 minutes, all jobs of who runs twice as many as allowed; transactions idle for longer than idle_transaction_seconds; sessions of roles that are gone, and their rows of cron.job.
Answers {"sessions":[{"pid","user","why"}],"jobs":[{"job_id","user"}],"held":[5],"freed":[6]} without what there was none of: why is running_jobs,
idle or gone; held are jobs that were paused, freed those of which pg_cron had not seen the end (see tinydev_impl.free_slots). The server calls it every 15 s, the system's job each minute.$$;
