set local role tinydev_owner;

-- What tables and materialized views are promised not to be older than. read_position is up to where the log was looked at; what the
-- placer passes on in time is in fresh_at already.
create table tinydev_impl.freshness (
  relation_id     oid         primary key,
  owner_name      name        not null,
  max_age_seconds integer     not null check (max_age_seconds between 1 and 315360000),
  promised_at     timestamptz not null default pg_catalog.clock_timestamp(),
  fresh_at        timestamptz not null,
  stale_since     timestamptz,
  next_check_at   timestamptz not null,
  read_position   bigint      not null
) with (fillfactor = 50);
create index freshness_due on tinydev_impl.freshness (next_check_at);

reset role;

---- create above / drop below ----
