-- A procedure with a SET clause or SECURITY DEFINER may not COMMIT, and tinydev.refresh does.
create or replace procedure tinydev.run_job(job_id bigint, cause text default 'manual')
language plpgsql
as $$
declare
  v_job tinydev.job := tinydev_lib.find_own_job(run_job.job_id);
begin
  -- tinydev_impl.start_run reads it, since a view may have several jobs.
  perform pg_catalog.set_config('tinydev.job_id', v_job.job_id::text, false);
  call tinydev.refresh(v_job.view, cause => run_job.cause, timeout_seconds => v_job.timeout_seconds, track_changes => v_job.track_changes);
end $$;

comment on procedure tinydev.run_job(bigint, text) is
$$Runs a job of yours now, with its time-out and track_changes, also while it is paused; recorded in tinydev.run as any other, and by whom. Its schedule goes on as before.
Example: call tinydev.run_job(5);
Errors: TD404 job_not_found; TD403 not_owner; TD422 job_unmanaged; those of tinydev.refresh.$$;
