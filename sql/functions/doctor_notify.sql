create or replace function tinydev_lib.doctor_notify(usage double precision) returns setof tinydev_lib.finding
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select null::name, 'notify_queue', case when doctor_notify.usage >= 0.5 then 'error' else 'warn' end, 'NOTIFY',
         format('the queue of notifications is %s %% full: a session that listens has held a transaction open for long. From 50 %% on nobody is notified of events, and when it is full every NOTIFY fails', round(doctor_notify.usage::numeric * 100)),
         'select pid, usename, state, xact_start from pg_stat_activity where xact_start is not null order by xact_start limit 5;  -- then pg_terminate_backend(pid) of the oldest that listens', false
   where doctor_notify.usage >= 0.25
$$;

comment on function tinydev_lib.doctor_notify(double precision) is 'What the doctor finds about the queue of notifications, of which a part (0 to 1) is in use.';
