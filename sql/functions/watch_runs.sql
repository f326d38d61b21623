create or replace function tinydev_impl.watch_runs() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run       record;
  v_cancelled bigint[] := '{}';
  v_lost      bigint[] := '{}';
begin
  -- Those that take too long come first, since there may be any number of lost ones.
  for v_run in
    select r.*, a.pid is not null as is_alive
      from tinydev_impl.run r
      left join pg_stat_get_activity(null) a on a.pid = r.pid and a.backend_start = r.backend_start
     where r.status = 'running'
       and (a.pid is null or r.cancelled_at < clock_timestamp() - interval '10 seconds'
            or r.cancel_reason is null and r.timeout_seconds is not null and r.started_at + make_interval(secs => r.timeout_seconds) <= clock_timestamp())
     order by a.pid is null, r.run_id limit 200
       for update of r skip locked
  loop
    begin
      if not v_run.is_alive then
        -- It may have ended meanwhile, which is seen by a later look than the one at the processes.
        continue when not exists (select from tinydev_impl.run r where r.run_id = v_run.run_id and r.status = 'running');
        case v_run.cancel_reason
          when 'timeout' then
            perform tinydev_impl.fail_run(v_run.run_id, '57014', 'run_timed_out', format('it took longer than its timeout_seconds, %s, and its session was terminated', v_run.timeout_seconds));
          when 'user' then
            perform tinydev_impl.fail_run(v_run.run_id, '57014', 'run_cancelled', format('cancelled by %s, and its session was terminated', v_run.cancelled_by));
          else
            perform tinydev_impl.fail_run(v_run.run_id, null, 'run_lost', 'the session of the run ended before the run did: it was terminated, or PostgreSQL stopped');
        end case;
        v_lost := v_lost || v_run.run_id;
      elsif v_run.cancelled_at is not null then
        perform pg_terminate_backend(v_run.pid);
      else
        update tinydev_impl.run r set cancel_reason = 'timeout', cancelled_at = clock_timestamp() where r.run_id = v_run.run_id;
        perform pg_cancel_backend(v_run.pid);
        v_cancelled := v_cancelled || v_run.run_id;
      end if;
    exception when others then
      -- Its job is locked, which is tried again, or it is a superuser's, whom only a superuser may cancel. Either is to stop nobody else's.
      raise log 'run % of %: %', v_run.run_id, v_run.owner, sqlerrm;
    end;
  end loop;
  return jsonb_strip_nulls(jsonb_build_object('timed_out', nullif(to_jsonb(v_cancelled), '[]'), 'lost', nullif(to_jsonb(v_lost), '[]')));
end $$;

comment on function tinydev_impl.watch_runs() is
$$Cancels runs that take longer than their timeout_seconds, terminates what a cancel did not end within 10 s, and tells of runs whose session is gone: statement_timeout set
inside a call has no effect, and a process that was killed tells nothing. Answers {"timed_out":[run_id],"lost":[run_id]} without what there was none of. The server calls
it each second, the system's job each minute.$$;
