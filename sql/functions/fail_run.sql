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
  v_retry_at := tinydev_impl.note_run(v_run);
  insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
  values ('view.failed', v_run.view, v_run.view_id, (parse_ident(v_run.view))[1], v_run.owner,
    jsonb_build_object('sqlstate', p_sqlstate, 'code', p_code, 'message', p_message, 'detail', null, 'cause', v_run.cause, 'duration_ms', (date_part('epoch', v_run.ended_at - v_run.started_at) * 1000)::bigint,
       'job_id', v_run.job_id, 'due_at', v_run.due_at, 'attempt', v_run.attempt, 'wait_ms', null, 'retry_at', v_retry_at, 'run_id', v_run.run_id));
end $$;

comment on function tinydev_impl.fail_run(bigint, text, text, text) is $$Ends a run as failed that could not tell so itself, and writes view.failed for it. Errors: 55P03 when somebody holds its job, so that nobody who looks after the runs of all waits.$$;
