-- They take more arguments now.
drop procedure if exists tinydev.refresh(text, text, integer);
drop function if exists tinydev.schedule(text, text, text, boolean);
drop function if exists tinydev.alter_job(bigint, text, text, boolean, boolean);
-- The number of a run that pg_cron starts is its runid, and others come from the same sequence, so that all are in order.
grant usage on sequence cron.runid_seq to tinydev_owner;

set local role tinydev_owner;

create table tinydev_impl.run (
  run_id          bigint      primary key,
  cron_run_id     bigint,     -- of cron.job_run_details; several turns of a job that repeats within a minute have one
  job_id          bigint,
  owner           name        not null,
  view_id         oid,
  view            text        not null,
  cause           text        not null check (cause in ('schedule', 'manual', 'upstream', 'retry', 'missed')),
  actor           name        not null,
  status          text        not null check (status in ('running', 'succeeded', 'failed', 'skipped', 'missed', 'idle', 'unrecorded')),
  due_at          timestamptz,
  started_at      timestamptz,
  ended_at        timestamptz,
  attempt         integer     not null default 0,
  timeout_seconds integer,
  pid             integer,
  backend_start   timestamptz,
  cancel_reason   text        check (cancel_reason in ('timeout', 'user')),
  cancelled_by    name,
  cancelled_at    timestamptz,
  rows            bigint,
  bytes           bigint,
  event_id        bigint,
  sqlstate        text,
  message         text
) with (fillfactor = 80);
alter table tinydev_impl.run enable row level security;
grant select on tinydev_impl.run to tinydev_reader;
create index run_job on tinydev_impl.run (job_id, run_id);
create index run_view on tinydev_impl.run (view, run_id);
create index run_running on tinydev_impl.run (run_id) where status = 'running';
create index run_cron on tinydev_impl.run (cron_run_id);

-- What pg_cron does not keep of a job of ours: up to when its due times were dealt with, and how it went last.
create table tinydev_impl.job_state (
  job_id          bigint      primary key,
  owner           name        not null,
  view            text        not null,
  schedule        text        not null,
  time_zone       text        not null,
  overlap         text        not null,
  missed          text        not null,
  timeout_seconds integer,
  retries         integer     not null,
  active          boolean     not null,
  handled_to      timestamptz not null default pg_catalog.clock_timestamp(),
  next_due_at     timestamptz,  -- after handled_to; null until it is computed
  last_run_id     bigint,
  last_status     text,
  last_started_at timestamptz,
  last_ended_at   timestamptz,
  failures        integer     not null default 0,  -- one after the other
  attempt         integer     not null default 0,
  extra_at        timestamptz,  -- when a run besides the schedule is to be made, or is to be asked for again
  extra_cause     text        check (extra_cause in ('retry', 'missed')),
  extra_count     integer     not null default 0
) with (fillfactor = 70);
create index job_state_view on tinydev_impl.job_state (view, owner);
create index job_state_due on tinydev_impl.job_state (next_due_at) where active;
create index job_state_unknown on tinydev_impl.job_state (job_id) where active and next_due_at is null;
create index job_state_extra on tinydev_impl.job_state (extra_at) where extra_at is not null;

-- What pg_cron ran before there were records is not missing any.
alter table tinydev_impl.instance add column runs_since timestamptz not null default pg_catalog.clock_timestamp();

reset role;

---- create above / drop below ----
