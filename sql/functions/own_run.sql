create or replace view tinydev_lib.own_run with (security_barrier) as
select r.run_id, r.owner, r.view, r.view_id, r.cause, r.timeout_seconds, r.status,
       pg_catalog.jsonb_build_object('run_id', r.run_id, 'job_id', r.job_id, 'due_at', r.due_at, 'attempt', r.attempt,
         'wait_ms', (pg_catalog.date_part('epoch', r.started_at - r.due_at) * 1000)::bigint)
         || case when r.wave is null then '{}' else pg_catalog.jsonb_build_object('wave', r.wave) end as told
  from tinydev_impl.run r
 where r.owner = current_user
with check option;

grant insert (owner, view, view_id, cause, timeout_seconds), select (run_id, cause, status, told) on tinydev_lib.own_run to tinydev_user;

comment on view tinydev_lib.own_run is
$$Where tinydev.refresh says that it begins, as the role in force (current_user); see tinydev_lib.own_trust for why it is a view. status
tells whether it is to go on: running, or skipped or idle, when there is nothing to do. told is what its event says of the run.$$;
