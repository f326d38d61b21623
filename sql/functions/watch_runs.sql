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

create or replace function tinydev_impl.fail_run(p_run_id bigint, p_sqlstate text, p_code text, p_message text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run      tinydev_impl.run;
  v_retry_at timestamptz;
begin
  -- Its owner may hold the job in an open transaction.
  if exists (select from tinydev_impl.job_state s join tinydev_impl.run r using (job_id) where r.run_id = p_run_id)
     and not exists (select from tinydev_impl.job_state s where s.job_id = (select r.job_id from tinydev_impl.run r where r.run_id = p_run_id) for no key update skip locked) then
    raise lock_not_available using message = 'the job of the run is locked';
  end if;
  update tinydev_impl.run r set status = 'failed', ended_at = clock_timestamp(), sqlstate = p_sqlstate, message = p_message where r.run_id = p_run_id returning * into v_run;
  if v_run.cause in ('schedule', 'retry', 'missed') and v_run.cancel_reason is distinct from 'user' then
    select clock_timestamp() + tinydev_lib.retry_wait(s.attempt) into v_retry_at from tinydev_impl.job_state s where s.job_id = v_run.job_id and s.attempt < s.retries;
  end if;
  perform tinydev_impl.note_run(v_run, v_retry_at);
  insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
  values ('view.failed', v_run.view, v_run.view_id, (parse_ident(v_run.view))[1], v_run.owner,
    jsonb_build_object('sqlstate', p_sqlstate, 'code', p_code, 'message', p_message, 'detail', null, 'cause', v_run.cause, 'duration_ms', (date_part('epoch', v_run.ended_at - v_run.started_at) * 1000)::bigint,
       'job_id', v_run.job_id, 'due_at', v_run.due_at, 'attempt', v_run.attempt, 'wait_ms', null, 'retry_at', v_retry_at, 'run_id', v_run.run_id));
end $$;

comment on function tinydev_impl.fail_run(bigint, text, text, text) is $$Ends a run as failed that could not tell so itself, and writes view.failed for it. Errors: 55P03 when somebody holds its job, so that nobody who looks after the runs of all waits.$$;
