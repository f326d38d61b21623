set local role tinydev_owner;

-- The doctor's errors that stand, so that each is told once, and its end too.
create table tinydev_impl.doctor_error (
  workspace  name        not null,
  check_name text        not null,
  subject    text        not null,
  message    text        not null,
  since      timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (workspace, check_name, subject)
);

-- What each server measured last: PostgreSQL cannot see its disk, nor its clock.
create table tinydev_impl.server_report (
  name               text primary key,
  reported_at        timestamptz not null default pg_catalog.clock_timestamp(),
  clock_ahead_seconds double precision not null,
  disk_free_bytes    bigint,
  disk_total_bytes   bigint
);

-- The last try whether pg_cron starts jobs in time.
create table tinydev_impl.canary (
  only_row   boolean primary key default true check (only_row),
  started_at timestamptz,
  ended_at   timestamptz,
  ran_at     timestamptz,
  status     text,
  message    text
);
insert into tinydev_impl.canary default values;

reset role;
grant select, update on sequence cron.runid_seq, cron.jobid_seq to tinydev_owner;

---- create above / drop below ----
