create or replace function tinydev_impl.note_missed(p_state tinydev_impl.job_state, p_due timestamptz[], p_then text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run_id  bigint := nextval('cron.runid_seq');
  v_view_id oid := tinydev_impl.relation_id(p_state.view);
begin
  insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
  values ('view.missed', p_state.view, v_view_id, (parse_ident(p_state.view))[1], p_state.owner, jsonb_build_object('job_id', p_state.job_id, 'run_id', v_run_id, 'schedule', p_state.schedule,
    'time_zone', p_state.time_zone, 'first_due_at', p_due[1], 'due_at', p_due[cardinality(p_due)], 'count', cardinality(p_due), 'then', p_then));
  insert into tinydev_impl.run (run_id, job_id, owner, view_id, view, cause, actor, status, due_at, ended_at, message)
  values (v_run_id, p_state.job_id, p_state.owner, v_view_id, p_state.view, 'schedule', p_state.owner, 'missed', p_due[cardinality(p_due)], clock_timestamp(),
    case cardinality(p_due) when 1 then 'pg_cron did not run it' else format('pg_cron did not run it, nor the %s times before since %s', cardinality(p_due) - 1, p_due[1] at time zone 'UTC') end);
end $$;

comment on function tinydev_impl.note_missed(tinydev_impl.job_state, timestamptz[], text) is
$$Writes view.missed and a run of the status missed for due times at which a job did not run. p_then says what comes of it: none, once, all as the job asks for, or running,
when a run is beginning now.$$;
