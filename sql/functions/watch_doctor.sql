create or replace function tinydev_impl.watch_doctor(
  p_server text default null, p_now timestamptz default null, p_disk_free_bytes bigint default null, p_disk_total_bytes bigint default null
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  v_found tinydev_lib.finding[];
begin
  if p_server is not null then
    insert into tinydev_impl.server_report (name, clock_ahead_seconds, disk_free_bytes, disk_total_bytes)
    values (p_server, date_part('epoch', p_now - clock_timestamp()), p_disk_free_bytes, p_disk_total_bytes)
    on conflict (name) do update set reported_at = excluded.reported_at, clock_ahead_seconds = excluded.clock_ahead_seconds,
      disk_free_bytes = excluded.disk_free_bytes, disk_total_bytes = excluded.disk_total_bytes;
  end if;
  delete from tinydev_impl.server_report r
   where r.name in (select o.name from tinydev_impl.server_report o where o.reported_at < clock_timestamp() - interval '1 day' for update skip locked);
  -- A server that ended between the beginning and the end of a canary leaves its job behind.
  delete from cron.job j where j.jobname = 'tinydev: canary' and j.username = 'tinydev_server' and j.database = current_database()
     and (select c.started_at from tinydev_impl.canary c) < clock_timestamp() - interval '1 minute';
  v_found := array(select f from tinydev_lib.findings() f where f.level in ('error', 'warn'));
  begin
    -- One at a time; who comes second tells nothing twice.
    lock table tinydev_impl.doctor_error in share row exclusive mode nowait;
    with error as materialized (
      select coalesce(f.owner, 'tinydev_server') as workspace, f.check_name, f.subject, string_agg(f.message, e'\n') as message, min(f.fix) as fix
        from unnest(v_found) f where f.level = 'error' group by 1, 2, 3
    ), known as materialized (
      select * from tinydev_impl.doctor_error
    ), fresh as (
      insert into tinydev_impl.doctor_error (workspace, check_name, subject, message)
      select e.workspace, e.check_name, e.subject, e.message from error e
      on conflict on constraint doctor_error_pkey do update set message = excluded.message
    ), gone as (
      delete from tinydev_impl.doctor_error d
       where not exists (select from error e where (e.workspace, e.check_name, e.subject) = (d.workspace, d.check_name, d.subject)) returning d.*
    )
    insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
    select 'doctor.failed', tinydev_lib.finding_subject(e.workspace, e.check_name, e.subject), e.workspace, 'tinydev_server',
           jsonb_build_object('check', e.check_name, 'subject', e.subject, 'message', left(e.message, 4000), 'fix', e.fix)
      from error e where not exists (select from known k where (e.workspace, e.check_name, e.subject) = (k.workspace, k.check_name, k.subject))
    union all
    select 'doctor.recovered', tinydev_lib.finding_subject(g.workspace, g.check_name, g.subject), g.workspace, 'tinydev_server',
           jsonb_build_object('check', g.check_name, 'subject', g.subject, 'message', left(g.message, 4000), 'since', g.since)
      from gone g;
  exception when lock_not_available then
    null;
  end;
  return (select jsonb_build_object('errors', coalesce(sum(c.errors), 0), 'warnings', coalesce(sum(c.warnings), 0),
                   'checks', coalesce(jsonb_object_agg(c.check_name, case when c.errors > 0 then 'error' else 'warn' end), '{}'))
            from (select f.check_name, count(*) filter (where f.level = 'error') as errors, count(*) filter (where f.level = 'warn') as warnings
                    from unnest(v_found) f group by 1) c);
end $$;

comment on function tinydev_impl.watch_doctor(text, timestamptz, bigint, bigint) is
$$Examines all, and writes doctor.failed for each error that is new and doctor.recovered for each that is gone, to whose it is, else to administrators.
A server tells its name, the time by its clock and the space of its disk. Answers {"errors":1,"warnings":2,"checks":{"launcher":"error",…}}.$$;
