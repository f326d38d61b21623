create or replace function tinydev_impl.note_run(p_run tinydev_impl.run) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_failed   boolean := p_run.status = 'failed';
  v_retry_at timestamptz;
begin
  if v_failed and p_run.cause in ('schedule', 'upstream', 'retry', 'missed') and p_run.cancel_reason is distinct from 'user' then
    select clock_timestamp() + tinydev_lib.retry_wait(s.attempt) into v_retry_at from tinydev_impl.job_state s where s.job_id = p_run.job_id and s.attempt < s.retries;
  end if;
  update tinydev_impl.job_state s
     set last_run_id = p_run.run_id, last_status = p_run.status, last_started_at = coalesce(p_run.started_at, s.last_started_at), last_ended_at = p_run.ended_at,
         failures = case when v_failed then s.failures + 1 else 0 end, attempt = case when v_failed then s.attempt + 1 else 0 end,
         extra_at = case when v_failed then v_retry_at else s.extra_at end,
         extra_cause = case when not v_failed then s.extra_cause when v_retry_at is not null then 'retry' end,
         extra_count = case when v_failed then (v_retry_at is not null)::integer else s.extra_count end
   where s.job_id = p_run.job_id;
  return v_retry_at;
end $$;

comment on function tinydev_impl.note_run(tinydev_impl.run) is $$Keeps with its job how a run ended, and answers when another attempt is to be made; null for none.$$;
