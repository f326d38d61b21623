-- runs as: installer
do $$
begin
  if not exists (select from pg_catalog.pg_policy where polrelid = 'tinydev_impl.run'::pg_catalog.regclass and polname = 'run_visible') then
    create policy run_visible on tinydev_impl.run for select to tinydev_reader
      using (status <> 'idle' and (owner = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member') or tinydev_lib.may_read(view)));
  end if;
end $$;

-- No security barrier, as with tinydev.event, so that a page of it reads no more than that page; what is not recorded in our own has its own.
create or replace view tinydev.run as
select r.run_id, r.job_id, r.view, r.status, r.started_at, r.ended_at,
       (pg_catalog.date_part('epoch', r.ended_at - r.started_at) * 1000)::bigint as duration_ms,
       case when r.owner = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member') then r.message end as message,
       r.owner, r.cause, r.actor, r.due_at, (pg_catalog.date_part('epoch', r.started_at - r.due_at) * 1000)::bigint as wait_ms, r.attempt, r.timeout_seconds,
       r.rows, r.bytes, r.sqlstate, r.cancel_reason, r.cancelled_by, r.cron_run_id, r.event_id, r.wave
  from tinydev_impl.run r
union all
select c.run_id, c.job_id, c.view, c.status, c.started_at, c.ended_at, c.duration_ms, c.message, c.owner, 'schedule', c.owner, null, null, 0, null, null, null, null, null, null, c.run_id, null, null
  from tinydev_lib.cron_run c
union all
select c.run_id, c.job_id, c.view, c.status, c.started_at, c.ended_at, c.duration_ms, c.message, c.owner, 'schedule', c.owner, null, null, 0, null, null, null, null, null, null, c.run_id, null, null
  from tinydev_lib.early_run c;

alter view tinydev.run owner to tinydev_reader;
grant select on tinydev.run to tinydev_user;

comment on view tinydev.run is
$$Each refresh of a view, whoever started it, and whatever else pg_cron ran: your own, and those of views that you may read. Read pages of it by run_id.$$;
comment on column tinydev.run.run_id          is 'in the order in which runs began; cron.job_run_details.runid for one that pg_cron started';
comment on column tinydev.run.status          is 'running, succeeded, failed, skipped (by the job''s overlap, or in a wave), missed (pg_cron did not run it), unrecorded (pg_cron says that it succeeded, and it left no event); of what is not ours pg_cron''s own words';
comment on column tinydev.run.started_at      is 'null when it was missed';
comment on column tinydev.run.duration_ms     is 'null while it runs';
comment on column tinydev.run.message         is 'what PostgreSQL answered to a run that failed; only for the owner and administrators';
comment on column tinydev.run.owner           is 'role that it runs as';
comment on column tinydev.run.cause           is 'schedule, manual, upstream, retry, missed (to make up for it)';
comment on column tinydev.run.actor           is 'login that asked for it';
comment on column tinydev.run.due_at          is 'when its schedule promised it; null for what no schedule did';
comment on column tinydev.run.wait_ms         is 'how late it began';
comment on column tinydev.run.attempt         is '0 for the first, and then counted on';
comment on column tinydev.run.timeout_seconds is 'how long it may take';
comment on column tinydev.run.cancel_reason   is 'timeout, user';
comment on column tinydev.run.cron_run_id     is 'cron.job_run_details.runid; null for what pg_cron did not start';
comment on column tinydev.run.event_id        is 'of the event that tells how it ended';
comment on column tinydev.run.wave            is 'the same for all runs that come of one refresh or load: its event_id; for cause upstream';
