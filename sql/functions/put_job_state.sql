create or replace function tinydev_impl.put_job_state(p_job_id bigint, p_owner name, p_schedule text, p_command text, p_active boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_arguments text[] := tinydev_lib.job_arguments(p_command);
  v_is_held   boolean := session_user = 'tinydev_server';  -- which pauses and resumes jobs for the limits; what passes meanwhile is missed
begin
  -- Its owner may hold it in an open transaction, and who looks after the jobs of all waits for nobody. tinydev_impl.track_jobs makes up for it.
  if v_is_held and exists (select from tinydev_impl.job_state s where s.job_id = p_job_id)
     and not exists (select from tinydev_impl.job_state s where s.job_id = p_job_id for no key update skip locked) then
    return;
  end if;
  if v_arguments is null then
    delete from tinydev_impl.job_state s where s.job_id = p_job_id;
    return;
  end if;
  insert into tinydev_impl.job_state as s (job_id, owner, view, schedule, time_zone, overlap, missed, timeout_seconds, retries, active, after, in_wave, track_changes)
  values (p_job_id, p_owner, replace(v_arguments[1], '''''', ''''),
    case when v_arguments[2] is not null then v_arguments[2] || ' seconds' else coalesce(v_arguments[3], p_schedule) end,
    coalesce(v_arguments[4], tinydev_lib.cron_time_zone()), v_arguments[5], v_arguments[6], v_arguments[7]::integer, v_arguments[8]::integer, p_active,
    coalesce(tinydev_lib.split_names(replace(v_arguments[9], '''''', '''')), '{}'), v_arguments[11] is not null, v_arguments[10])
  on conflict (job_id) do update
    set owner = excluded.owner, view = excluded.view, schedule = excluded.schedule, time_zone = excluded.time_zone, overlap = excluded.overlap, missed = excluded.missed,
        timeout_seconds = excluded.timeout_seconds, retries = excluded.retries, active = excluded.active, after = excluded.after, in_wave = excluded.in_wave, track_changes = excluded.track_changes,
        handled_to = case when (s.schedule, s.time_zone, s.view) = (excluded.schedule, excluded.time_zone, excluded.view) and (s.active and excluded.active or v_is_held) then s.handled_to else clock_timestamp() end,
        next_due_at = case when (s.schedule, s.time_zone, s.view) = (excluded.schedule, excluded.time_zone, excluded.view) and (s.active and excluded.active or v_is_held) then s.next_due_at end,
        extra_at = case when excluded.active or v_is_held then s.extra_at end, extra_cause = case when excluded.active or v_is_held then s.extra_cause end,
        extra_count = case when excluded.active or v_is_held then s.extra_count else 0 end;
  if not p_active and not v_is_held then
    delete from tinydev_impl.upstream_mark m where m.job_id = p_job_id;
  end if;
end $$;

comment on function tinydev_impl.put_job_state(bigint, name, text, text, boolean) is 'Writes what tinydev_impl.job_state keeps of a row of cron.job; nothing for a row that is not ours.';
