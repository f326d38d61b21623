set local role tinydev_owner;

alter table tinydev_impl.instance add column audit_retention interval not null default '365 days';

create table tinydev_impl.audit (
  audit_id   bigint generated always as identity primary key,
  at         timestamptz not null default pg_catalog.clock_timestamp(),
  actor      name        not null,
  door       text        not null check (door in ('http', 'sql', 'job', 'server')),
  action     text        not null,
  subject    text        not null default '',
  sql_sha256 text        check (sql_sha256 ~ '^[0-9a-f]{64}$'),
  detail     jsonb       not null default '{}'
);
create index audit_at on tinydev_impl.audit (at);
create index audit_subject on tinydev_impl.audit (subject, audit_id);

-- Sessions that the server opened: their door is HTTP, whatever they say of themselves.
create unlogged table tinydev_impl.server_session (
  pid           integer     primary key,
  backend_start timestamptz not null
);

-- The jobs of cron.job that the audit knows: pg_cron deletes a job below the reach of triggers.
create table tinydev_impl.audited_job (
  job_id    bigint primary key,
  role_name name   not null
);

reset role;

---- create above / drop below ----
