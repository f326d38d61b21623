create or replace function tinydev_impl.upkeep() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
  v_keep      tinydev_impl.instance;
  v_partition record;
  v_newest    timestamptz;
  v_dropped   text[] := '{}';
  v_batch     bigint;
  v_pruned    bigint := 0;
  v_forgotten bigint := 0;
begin
  select * into v_keep from tinydev_impl.instance;
  loop
    -- A run that was killed has no end.
    with old as (
      select d.runid from cron.job_run_details d where coalesce(d.end_time, d.start_time) < clock_timestamp() - v_keep.run_retention order by d.runid limit 10000
    )
    delete from cron.job_run_details d using old where d.runid = old.runid;
    get diagnostics v_batch = row_count;
    v_pruned := v_pruned + v_batch;
    exit when v_batch < 10000;
  end loop;
  loop
    delete from tinydev_impl.run r
     where r.run_id in (select o.run_id from tinydev_impl.run o where coalesce(o.ended_at, o.started_at) < clock_timestamp() - v_keep.run_retention and o.status <> 'running'
                         order by o.run_id limit 10000);
    get diagnostics v_batch = row_count;
    v_pruned := v_pruned + v_batch;
    exit when v_batch < 10000;
  end loop;
  perform tinydev_impl.track_jobs();
  -- What runs waves that nothing is in any more.
  delete from cron.job j
   where j.jobid in (select o.jobid from cron.job o, tinydev_lib.wave_arguments(o.command) w
                      where w.schedule is not null and o.database = current_database()
                        and not exists (select from tinydev_impl.job_state s where s.owner = o.username and s.in_wave and s.schedule = w.schedule and s.time_zone = w.time_zone)
                        for update of o skip locked);
  delete from tinydev_impl.upstream_mark m
   where m.mark_id in (select o.mark_id from tinydev_impl.upstream_mark o where not exists (select from tinydev_impl.job_state s where s.job_id = o.job_id) for update skip locked);
  -- A row that somebody holds is left for the next time.
  delete from tinydev_impl.token t
   where t.token_id in (select o.token_id from tinydev_impl.token o
                         where (o.kind = 'session' and o.expires_at <= clock_timestamp()) or not exists (select from pg_roles r where r.rolname = o.role_name)
                           for update skip locked);
  delete from tinydev_impl.trust t
   where (t.role_name, t.owner_name) in (select o.role_name, o.owner_name from tinydev_impl.trust o
                                          where not exists (select from pg_roles r where r.rolname = o.role_name) or not exists (select from pg_roles r where r.rolname = o.owner_name)
                                            for update skip locked);
  delete from tinydev_impl.identity i
   where (i.issuer, i.subject) in (select o.issuer, o.subject from tinydev_impl.identity o
                                    where not exists (select from pg_roles r where r.rolname = o.role_name) for update skip locked);
  delete from tinydev_impl.user_limit l
   where l.role_name in (select o.role_name from tinydev_impl.user_limit o
                          where not exists (select from pg_roles r where r.rolname = o.role_name) for update skip locked);
  delete from tinydev_impl.subscription s
   where s.subscription_id in (select o.subscription_id from tinydev_impl.subscription o
                                where not exists (select from pg_roles r where r.rolname = o.role_name) for update skip locked);
  delete from tinydev_impl.freshness f
   where f.relation_id in (select o.relation_id from tinydev_impl.freshness o
                            where not exists (select from pg_class c where c.oid = o.relation_id and pg_get_userbyid(c.relowner) = o.owner_name)
                              for update skip locked);
  perform tinydev_impl.prune_triggers();
  delete from tinydev_impl.held_job h where not exists (select from cron.job j where j.jobid = h.job_id);
  perform tinydev_lib.audit_unscheduled();
  delete from tinydev_impl.server_session s
   where not exists (select from pg_stat_activity a where a.pid = s.pid and a.backend_start = s.backend_start);
  loop
    delete from tinydev_impl.audit a
     where a.audit_id in (select o.audit_id from tinydev_impl.audit o where o.at < clock_timestamp() - v_keep.audit_retention order by o.at limit 10000);
    get diagnostics v_batch = row_count;
    v_forgotten := v_forgotten + v_batch;
    exit when v_batch < 10000;
  end loop;
  -- Last, since nobody places while the head is held, and nobody reads while a partition goes, until this transaction ends.
  perform tinydev_impl.extend_log((select h.position from tinydev_impl.head h where h.only_row for update));
  for v_partition in
    select p.table_name, p.position_from from tinydev_impl.event_partition p, tinydev_impl.head h where p.position_to <= h.position order by p.position_from
  loop
    execute format('select occurred_at from tinydev_impl.%I order by position desc limit 1', v_partition.table_name) into v_newest;
    exit when v_newest > clock_timestamp() - v_keep.event_retention;
    begin
      -- What waits in it is lost, and its owner is told.
      execute format($sql$
        insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
        select 'subscription.events_lost', format('%%I.%%s', s.role_name, s.name), s.role_name, 'tinydev_server', jsonb_build_object('from', min(d.position), 'to', max(d.position))
          from tinydev_impl.%I d join tinydev_impl.subscription s using (subscription_id)
         where d.state in ('pending', 'failing') group by s.role_name, s.name$sql$, 'delivery_' || v_partition.position_from);
      execute format('drop table tinydev_impl.%I, tinydev_impl.%I', v_partition.table_name, 'delivery_' || v_partition.position_from);
      delete from tinydev_impl.event_partition where table_name = v_partition.table_name;
      v_dropped := v_dropped || v_partition.table_name::text;
    exception when lock_not_available then
      exit;  -- a reader holds the log open; the next upkeep tries again
    end;
  end loop;
  return jsonb_build_object('dropped_partitions', v_dropped, 'pruned_runs', v_pruned, 'pruned_audit', v_forgotten);
end $$;

comment on function tinydev_impl.upkeep() is
$$Keeps log partitions ahead, drops those older than the retention, prunes pg_cron's run history and the audit, which it tells of jobs
that were unscheduled in psql, and removes page sessions that expired, tokens, trust, identities, limits, subscriptions and triggers of roles
that are gone, and promises of freshness of relations that are gone or have another owner.$$;
