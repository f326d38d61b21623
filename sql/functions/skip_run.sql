create or replace function tinydev_impl.skip_run(p_state tinydev_impl.job_state, p_wave bigint, p_failed text, p_cause text default 'upstream', p_due_at timestamptz default null) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run_id  bigint := nextval('cron.runid_seq');
  v_view_id oid := tinydev_impl.relation_id(p_state.view);
begin
  delete from tinydev_impl.upstream_mark m where m.job_id = p_state.job_id;
  insert into tinydev_impl.run (run_id, job_id, owner, view_id, view, cause, actor, status, due_at, started_at, ended_at, wave, message)
  values (v_run_id, p_state.job_id, p_state.owner, v_view_id, p_state.view, p_cause, p_state.owner, 'skipped', p_due_at, clock_timestamp(), clock_timestamp(), p_wave,
    format('%s, which it comes after, was not refreshed', p_failed));
  insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
  values ('view.skipped', p_state.view, v_view_id, (parse_ident(p_state.view))[1], p_state.owner,
    jsonb_build_object('reason', 'upstream_failed', 'upstream', p_failed, 'cause', p_cause, 'job_id', p_state.job_id, 'run_id', v_run_id, 'due_at', p_due_at, 'count', 1, 'wave', p_wave));
end $$;

comment on function tinydev_impl.skip_run(tinydev_impl.job_state, bigint, text, text, timestamptz) is
$$Leaves a run out because what it was to come after failed or was skipped: a run of the status skipped, and view.skipped, which has what comes after this one skipped too.$$;
