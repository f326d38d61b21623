create or replace function tinydev_lib.wave_jobs(schedule text, time_zone text, job_id bigint) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most  constant integer := 4;  -- sessions at once
  v_name  text := 'tinydev wave ' || wave_jobs.schedule || ' ' || wave_jobs.time_zone;
  v_count integer := 1 + (select count(*) from tinydev_impl.job_state s where s.owner = session_user and s.in_wave and s.schedule = wave_jobs.schedule and s.time_zone = wave_jobs.time_zone
                             and s.job_id is distinct from wave_jobs.job_id);
  v_cron  text;
  v_sql   text[] := '{}';
begin
  if octet_length(v_name) > 60 then
    v_name := 'tinydev wave ' || md5(v_name);
  end if;
  for n in 1..least(c_most, case when v_count < 20 then 1 when v_count < 200 then 2 else c_most end) loop
    continue when exists (select from cron.job j where j.username = session_user and j.jobname = v_name || ' ' || n);
    v_cron := coalesce(v_cron, tinydev_lib.cron_schedule(wave_jobs.schedule, wave_jobs.time_zone));
    v_sql := v_sql || format('select cron.schedule_in_database(%L, %L, %L, current_database());', v_name || ' ' || n, v_cron,
      format('call tinydev.refresh_wave(%L, %L)', wave_jobs.schedule, wave_jobs.time_zone));
  end loop;
  return v_sql;
end $$;

comment on function tinydev_lib.wave_jobs(text, text, bigint) is
$$The SQL that has pg_cron run a wave of yours once a job is in it too: one row of cron.job, two from 20 jobs on, four from 200 on, less those that are there.$$;
