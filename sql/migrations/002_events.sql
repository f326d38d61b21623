set local role tinydev_owner;

create table tinydev_impl.instance (
  only_row        boolean primary key default true check (only_row),
  instance_id     uuid not null default pg_catalog.md5(pg_catalog.random()::text || pg_catalog.clock_timestamp()::text || pg_catalog.pg_backend_pid()::text)::uuid,
  event_retention interval not null default '90 days',
  run_retention   interval not null default '30 days',
  sql_sha256      text not null default ''
);
insert into tinydev_impl.instance default values;

create table tinydev_impl.inbox (
  event_id    bigint generated always as identity primary key,
  type        text        not null,
  subject     text        not null,
  subject_id  oid,
  workspace   name        not null,
  actor       name        not null,
  occurred_at timestamptz not null default pg_catalog.clock_timestamp(),
  data        jsonb       not null default '{}'
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create table tinydev_impl.event (
  position    bigint      not null,
  event_id    bigint      not null,
  type        text        not null,
  subject     text        not null,
  subject_id  oid,
  workspace   name        not null,
  actor       name        not null,
  occurred_at timestamptz not null,
  data        jsonb       not null,
  primary key (position)
) partition by range (position);
alter table tinydev_impl.event enable row level security;
grant select on tinydev_impl.event to tinydev_reader;

create table tinydev_impl.head (
  only_row     boolean primary key default true check (only_row),
  position     bigint not null default 0,
  partition_to bigint not null default 1
) with (fillfactor = 10);
insert into tinydev_impl.head default values;

create table tinydev_impl.event_partition (
  event_partition_id bigint generated always as identity primary key,
  table_name         name        not null unique,
  position_from      bigint      not null unique,
  position_to        bigint      not null unique,
  created_at         timestamptz not null default pg_catalog.clock_timestamp(),
  check (position_from < position_to)
);

reset role;

---- create above / drop below ----
