create or replace function tinydev_impl.upstream_ready(p_state tinydev_impl.job_state, out is_ready boolean, out wave bigint, out failed text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_wave bigint := (select max(m.wave) from tinydev_impl.upstream_mark m where m.job_id = p_state.job_id);
begin
  wave := v_wave;
  with recursive earlier(subject) as (
    select unnest(p_state.after)
    union
    select unnest(s.after) from earlier e join tinydev_impl.job_state s on s.view = e.subject and s.active
  )
  select v_wave is not null
         and not exists (select from tinydev_impl.run r where r.status = 'running' and r.view = p_state.view)
         -- What it comes after, directly or not, is over in this wave: none is running, or waits for its turn or another attempt, or has ended and its event is not placed.
         and not exists (select from tinydev_impl.run r join earlier e on e.subject = r.view where r.status = 'running' and r.wave = v_wave)
         and not exists (
           select from tinydev_impl.job_state s join earlier e on e.subject = s.view
            where s.job_id <> p_state.job_id and s.active
              and (s.wave_id = v_wave and s.wave_due_at is not null
                   or exists (select from tinydev_impl.upstream_mark m where m.job_id = s.job_id and m.wave = v_wave)
                   or s.extra_cause = 'retry' and exists (select from tinydev_impl.run r where r.run_id = s.last_run_id and r.wave = v_wave)))
         and not exists (select from tinydev_impl.inbox i join earlier e on e.subject = i.subject where i.type in ('view.refreshed', 'view.failed', 'view.skipped'))
    into is_ready;
  -- The last word on each of them counts.
  failed := (select min(l.subject)
               from (select distinct on (m.subject) m.subject, m.outcome from tinydev_impl.upstream_mark m where m.job_id = p_state.job_id order by m.subject, m.mark_id desc) l
              where l.outcome = 'failed');
end $$;

comment on function tinydev_impl.upstream_ready(tinydev_impl.job_state) is
$$Whether a job for which something is noted by tinydev_impl.note_upstream can run now: not while it runs, nor before all that it comes after in the same wave is over.
failed names what of that failed, so that the job is to be skipped.$$;
