create or replace function tinydev_lib.plan_wave(schedule text, time_zone text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '30s'
as $$
#variable_conflict use_column
declare
  v_due_at  timestamptz;
  v_wave_id bigint;
  v_back    interval;
begin
  -- As far as pg_cron makes up for minutes.
  foreach v_back in array array['1 minute', '10 minutes', '3 hours']::interval[] loop
    select max(d) into v_due_at from tinydev_lib.due_times(plan_wave.schedule, plan_wave.time_zone, 200, clock_timestamp() - v_back, clock_timestamp()) d;
    exit when v_due_at is not null;
  end loop;
  if v_due_at is null or not exists (select from tinydev_impl.job_state s where s.owner = session_user and s.in_wave and s.schedule = plan_wave.schedule and s.time_zone = plan_wave.time_zone) then
    return;
  end if;
  -- The first of several sessions plans, and the others wait for it.
  insert into tinydev_impl.wave as w (owner, schedule, time_zone, due_at, wave_id)
  values (session_user, plan_wave.schedule, plan_wave.time_zone, v_due_at, nextval(pg_get_serial_sequence('tinydev_impl.inbox', 'event_id')))
  on conflict (owner, schedule, time_zone) do update set due_at = excluded.due_at, wave_id = excluded.wave_id where w.due_at < excluded.due_at
  returning w.wave_id into v_wave_id;
  if v_wave_id is null then
    return;
  end if;
  with member as materialized (
    select s.job_id, s.view, tinydev_impl.relation_id(s.view) as id
      from tinydev_impl.job_state s
     where s.owner = session_user and s.in_wave and s.schedule = plan_wave.schedule and s.time_zone = plan_wave.time_zone and s.active and s.handled_to < v_due_at
       and exists (select from cron.job j where j.jobid = s.job_id and j.active)
     order by s.job_id
       for no key update  -- who works out when jobs are due holds them for 3 s at most, and else only their owner does
  ), edge as materialized (
    select e.* from tinydev_lib.read_edges((select array_agg(m.id) from member m where m.id is not null), stop_at_stored => true) e
  ), reached as (
    select * from tinydev_impl.wave_reads((select array_agg(m.id) from member m where m.id is not null), (select array_agg(e.reader_class) from edge e), (select array_agg(e.reader) from edge e),
      (select array_agg(e.class_id) from edge e), (select array_agg(e.id) from edge e))
  ), after as (
    select r.member, array_agg(distinct m.view) as views from reached r join member m on m.id = r.reads group by r.member
  )
  update tinydev_impl.job_state s
     set wave_id = v_wave_id, wave_due_at = v_due_at, wave_after = coalesce(a.views, '{}'), wave_taken = false, wave_skipped = false
    from member m left join after a on a.member = m.id
   where s.job_id = m.job_id;
end $$;

comment on function tinydev_lib.plan_wave(text, text) is
$$Plans your jobs of a wave for the last time at which its schedule was due, once for each such time: which are due, and which of the others each reads, through plain views and functions.$$;
