create or replace function tinydev_impl.claim_runs(p_max integer default 10) returns table (job_id bigint, owner name, cause text)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Until the run begins nobody else is to make it; should this server be gone by then, another one does.
  update tinydev_impl.job_state s set extra_at = clock_timestamp() + interval '1 minute'
   where s.job_id in (
     select d.job_id from tinydev_impl.job_state d
      where d.job_id in (
        select o.job_id
          from (select w.job_id, row_number() over (partition by w.owner order by w.extra_at, w.job_id) as place
                  from tinydev_impl.job_state w where w.active and w.extra_at <= clock_timestamp() and exists (select from cron.job j where j.jobid = w.job_id and j.active and tinydev_lib.job_subject(j.username, j.command) is not null)) o
         where o.place = 1)
        and tinydev_impl.is_user(d.owner)
        and 2 > (select count(*) from tinydev_impl.run r where r.status = 'running' and r.cause in ('retry', 'missed') and r.owner = d.owner)
      order by d.extra_at limit claim_runs.p_max for no key update skip locked)
  returning s.job_id, s.owner, s.extra_cause
$$;

comment on function tinydev_impl.claim_runs(integer) is
$$Runs that are to be made besides the schedule, in a session of the owner by call tinydev.run_job(job_id, cause): another attempt after a failure, or what was missed. Who claims one has
a minute to begin it. One for each user, who may have two under way, so that nobody's long ones keep others' waiting.$$;
