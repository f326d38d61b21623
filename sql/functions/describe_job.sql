create or replace function tinydev.describe_job(job_id bigint) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job     tinydev.job := tinydev_lib.find_job(describe_job.job_id);
  v_preview jsonb := '{}';
  v_seconds integer := tinydev_lib.job_interval(v_job.command);
  v_after   timestamptz := now();
begin
  if v_job.schedule is not null and v_job.is_managed then
    if v_seconds is not null then
      -- A job that repeats within its minute takes its turns at multiples of the interval, and begins with a minute.
      v_after := case when exists (select from tinydev.run r where r.job_id = v_job.job_id and r.view is not null and r.status = 'running')
                      then to_timestamp(floor(date_part('epoch', now()) / v_seconds) * v_seconds)
                      else date_trunc('minute', now()) + interval '1 minute' - make_interval(secs => v_seconds) end;
    end if;
    begin
      v_preview := tinydev_lib.describe_schedule(v_job.schedule, v_job.time_zone, 5, v_after);
    exception when others then
      -- A command that was written in psql may say anything, and lists of jobs are to go on.
      v_preview := jsonb_build_object('warnings', jsonb_build_array('it is never due: ' || sqlerrm));
    end;
  end if;
  return jsonb_build_object(
    'job_id', v_job.job_id, 'name', v_job.name, 'view', v_job.view, 'owner', v_job.owner, 'schedule', v_job.schedule, 'time_zone', v_job.time_zone,
    'words', nullif(concat_ws(', and ', v_preview ->> 'words', 'after ' || array_to_string(v_job.after, ' or ')), ''), 'active', v_job.active, 'is_managed', v_job.is_managed, 'command', v_job.command,
    'overlap', v_job.overlap, 'missed', v_job.missed, 'timeout_seconds', v_job.timeout_seconds, 'retries', v_job.retries, 'after', v_job.after, 'track_changes', v_job.track_changes, 'wave', v_job.wave,
    'last_run', case when v_job.last_run_id is not null then jsonb_build_object('run_id', v_job.last_run_id, 'status', v_job.last_status,
      'started_at', v_job.last_started_at, 'ended_at', v_job.last_ended_at, 'failures', v_job.failures, 'retry_at', v_job.retry_at) end,
    'warnings', coalesce(v_preview -> 'warnings', '[]') || coalesce((
      select jsonb_agg(format('it runs after %s, which is not there', u.name) order by u.n) from unnest(v_job.after) with ordinality u(name, n)
       where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = (parse_ident(u.name))[1] and c.relname = (parse_ident(u.name))[2])), '[]') || coalesce((
      select jsonb_build_array(m.problem || case v_job.track_changes when 'none' then '' else ', and what changed in it is not known' end || ': ' || m.statement)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, lateral tinydev_lib.missing_index(c.oid) m
       where v_job.is_managed and v_job.owner = current_user and n.nspname = (parse_ident(v_job.view))[1] and c.relname = (parse_ident(v_job.view))[2] and c.relkind = 'm' and c.relispopulated
         and m.problem is not null), '[]'),
    'next_runs', case when v_job.active then coalesce(v_preview -> 'runs', '[]') else '[]' end);
end $$;

comment on function tinydev.describe_job(bigint) is
$$A job as the API shows it, with its schedule in words and its next five runs (none while paused). Errors: TD404 job_not_found.$$;
