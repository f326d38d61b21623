create or replace function tinydev_impl.claim_runs(p_max integer default 10) returns table (job_id bigint, owner name, cause text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  c_at_once constant integer := 2;  -- of one user
  v_state   tinydev_impl.job_state;
  v_ready   record;
  v_left    integer := p_max;
  v_full    name[] := '{}';  -- users who have as many under way as they may
begin
  for v_state in
    select s.* from tinydev_impl.job_state s
     where s.active and coalesce(s.claimed_until, '-infinity') <= clock_timestamp()
       and (s.extra_at <= clock_timestamp() or exists (select from tinydev_impl.upstream_mark m where m.job_id = s.job_id))
     order by row_number() over (partition by s.owner order by coalesce(s.extra_at, '-infinity'), s.job_id), s.job_id
  loop
    exit when v_left <= 0;
    continue when v_state.owner = any (v_full);
    if c_at_once <= (select count(*) from tinydev_impl.run r where r.status = 'running' and r.cause in ('upstream', 'retry', 'missed') and r.owner = v_state.owner)
                  + (select count(*) from tinydev_impl.job_state s where s.owner = v_state.owner and s.claimed_until > clock_timestamp()) then
      v_full := v_full || v_state.owner;
      continue;
    end if;
    -- Its owner may hold it in an open transaction.
    select * into v_state from tinydev_impl.job_state s where s.job_id = v_state.job_id and s.active for no key update skip locked;
    continue when not found or not exists (select from cron.job j where j.jobid = v_state.job_id and j.active and tinydev_lib.job_subject(j.username, j.command) is not null)
      or not tinydev_impl.is_user(v_state.owner);
    continue when v_state.claimed_until > clock_timestamp();
    if v_state.extra_at <= clock_timestamp() then
      cause := v_state.extra_cause;
    else
      select * into v_ready from tinydev_impl.upstream_ready(v_state);
      continue when not v_ready.is_ready;
      if v_ready.failed is not null then
        perform tinydev_impl.skip_run(v_state, v_ready.wave, v_ready.failed);
        continue;
      end if;
      cause := 'upstream';
    end if;
    -- Until the run begins nobody else is to make it; should this server be gone by then, another one does.
    update tinydev_impl.job_state s set claimed_until = clock_timestamp() + interval '1 minute' where s.job_id = v_state.job_id;
    job_id := v_state.job_id;
    owner := v_state.owner;
    v_left := v_left - 1;
    return next;
  end loop;
end $$;

comment on function tinydev_impl.claim_runs(integer) is
$$Runs that are to be made besides the schedule, in a session of the owner by call tinydev.run_job(job_id, cause): after what a job runs after (upstream), another attempt
after a failure (retry), or what was missed. Who claims one has a minute to begin it. Each user has two under way at most, so that nobody's long ones keep
others' waiting. A job whose upstream failed is skipped here, with view.skipped.$$;
