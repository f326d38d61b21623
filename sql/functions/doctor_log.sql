create or replace function tinydev_lib.doctor_log() returns setof tinydev_lib.finding
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
declare
  v_keep      tinydev_impl.instance;
  v_runs      bigint := pg_total_relation_size('cron.job_run_details');
  v_events    bigint;
  v_delivered bigint;
  v_oldest    timestamptz;
  v_age       interval;
begin
  select * into v_keep from tinydev_impl.instance;
  -- What pg_cron never started has no time.
  select d.start_time into v_oldest from cron.job_run_details d where d.start_time is not null order by d.runid limit 1;
  if v_oldest < clock_timestamp() - v_keep.run_retention - interval '2 hours' then
    return next (null, 'log_size', 'warn', 'cron.job_run_details', format('pg_cron''s history goes back to %s, though runs are kept for %s, and takes %s: the upkeep of each hour does not come to an end, or does not run',
      v_oldest, v_keep.run_retention, pg_size_pretty(v_runs)), 'select tinydev_impl.upkeep();', true)::tinydev_lib.finding;
  elsif v_runs > 100 * 1024 * 1024 then
    return next (null, 'log_size', 'warn', 'cron.job_run_details', format('pg_cron''s history takes %s, kept for %s; whoever looks at runs waits for it', pg_size_pretty(v_runs), v_keep.run_retention),
      format('select tinydev.set_setting(''run_retention'', %L);  -- the next upkeep removes the rest; then: vacuum full cron.job_run_details', (v_keep.run_retention / 4)::text), false)::tinydev_lib.finding;
  end if;
  select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0) into v_events from pg_inherits i where i.inhparent = 'tinydev_impl.event'::regclass;
  select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0) into v_delivered from pg_inherits i where i.inhparent = 'tinydev_impl.delivery'::regclass;
  select e.occurred_at into v_oldest from tinydev_impl.event_partition p cross join tinydev_impl.head h join tinydev_impl.event e on e.position = p.position_to - 1
   where p.position_to <= h.position order by p.position_from limit 1;
  if v_oldest < clock_timestamp() - v_keep.event_retention - interval '2 hours' then
    return next (null, 'log_size', 'warn', 'tinydev.event', format('a part of the log that ends at %s is still there, though events are kept for %s: a reader holds it open, or the upkeep does not run', v_oldest, v_keep.event_retention),
      'select tinydev_impl.upkeep();', true)::tinydev_lib.finding;
  elsif v_events > 10::bigint * 1024 * 1024 * 1024 then
    return next (null, 'log_size', 'warn', 'tinydev.event', format('the log of events takes %s, kept for %s', pg_size_pretty(v_events), v_keep.event_retention),
      format('select tinydev.set_setting(''event_retention'', %L);', (v_keep.event_retention / 4)::text), false)::tinydev_lib.finding;
  end if;
  if v_delivered > 10::bigint * 1024 * 1024 * 1024 then
    return next (null, 'log_size', 'warn', 'tinydev.delivery', format('deliveries take %s, kept for %s', pg_size_pretty(v_delivered), v_keep.delivery_retention),
      format('select tinydev.set_setting(''delivery_retention'', %L);', (v_keep.delivery_retention / 4)::text), false)::tinydev_lib.finding;
  end if;
  return next (null, 'log_size', 'ok', 'sizes', format('pg_cron''s history takes %s, the log of events %s, deliveries %s, the whole database %s', pg_size_pretty(v_runs), pg_size_pretty(v_events),
    pg_size_pretty(v_delivered), pg_size_pretty(pg_database_size(current_database()))), null, false)::tinydev_lib.finding;

  select clock_timestamp() - min(i.occurred_at) into v_age from tinydev_impl.inbox i;
  if v_age > interval '2 minutes' then
    return next (null, 'relay', 'error', 'inbox', format('events have waited for %s to be placed in the log: no server runs, or it hangs, and the system''s job of each minute does not run either. They are kept', date_trunc('second', v_age)),
      'select tinydev_impl.place(100000);', true)::tinydev_lib.finding;
  end if;

  return query
    select null::name, 'disk', case when r.disk_free_bytes < 0.03 * r.disk_total_bytes or r.disk_free_bytes < 200 * 1024 * 1024 then 'error'
                                    when r.disk_free_bytes < 0.1 * r.disk_total_bytes or r.disk_free_bytes < 1024 * 1024 * 1024 then 'warn' else 'ok' end,
           r.name, format('the disk of the server''s data directory has %s of %s free (%s %%); loads are kept there meanwhile, and a private PostgreSQL is all there',
             pg_size_pretty(r.disk_free_bytes), pg_size_pretty(r.disk_total_bytes), round(100.0 * r.disk_free_bytes / r.disk_total_bytes)),
           case when r.disk_free_bytes < 0.1 * r.disk_total_bytes or r.disk_free_bytes < 1024 * 1024 * 1024 then 'du -xh --max-depth=2 "$TINYDEV_DATA_DIR" | sort -h | tail  # free some, or move it to a larger disk' end, false
      from tinydev_impl.server_report r where r.reported_at > clock_timestamp() - interval '10 minutes' and r.disk_total_bytes > 0
    union all
    select null, 'clock', case when abs(r.clock_ahead_seconds) >= 60 then 'error' when abs(r.clock_ahead_seconds) >= 5 then 'warn' else 'ok' end,
           r.name, format('the clock of the server is %s s %s PostgreSQL''s%s', round(abs(r.clock_ahead_seconds)::numeric, 1), case when r.clock_ahead_seconds < 0 then 'behind' else 'ahead of' end,
             case when abs(r.clock_ahead_seconds) >= 5 then ': schedules, the ends of tokens and the times of signatures are not what people expect' else '' end),
           case when abs(r.clock_ahead_seconds) >= 5 then 'timedatectl set-ntp true  # on both machines' end, false
      from tinydev_impl.server_report r where r.reported_at > clock_timestamp() - interval '10 minutes';
end $$;

comment on function tinydev_lib.doctor_log() is
$$What the doctor finds about logs and servers: log_size, relay, disk, clock. It names nobody.$$;
