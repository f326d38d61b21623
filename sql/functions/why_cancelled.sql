create or replace function tinydev_lib.why_cancelled(run_id bigint, out code text, out message text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run tinydev_impl.run;
begin
  -- Who cancels says why in the same transaction, which may not be over yet.
  select r.* into v_run from tinydev_impl.run r where r.run_id = why_cancelled.run_id and r.pid = pg_backend_pid() and r.status = 'running' for share;
  case v_run.cancel_reason
    when 'timeout' then
      code := 'run_timed_out';
      message := format('it took longer than its timeout_seconds, %s', v_run.timeout_seconds);
    when 'user' then
      code := 'run_cancelled';
      message := format('cancelled by %s', v_run.cancelled_by);
    else
      null;
  end case;
end $$;

comment on function tinydev_lib.why_cancelled(bigint) is 'Why the run of this session was cancelled; nulls when nobody of ours did.';
