-- A query is looked at as a temporary view before it runs.
do $$
begin
  execute pg_catalog.format('grant temporary on database %I to tinydev_user', pg_catalog.current_database());
end $$;

set local role tinydev_owner;

create table tinydev_impl.trust (
  role_name  name        not null,
  owner_name name        not null check (owner_name <> role_name),
  trusted_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (role_name, owner_name)
);

-- What users take back, see tinydev_lib.own_removal; a row is carried out and removed as soon as it is there.
create table tinydev_impl.removal (
  removal_id bigint generated always as identity primary key,
  role_name  name   not null,
  token_id   bigint,
  owner_name name,
  check ((token_id is null) <> (owner_name is null))
);

-- The functions make it where it is not there yet.
do $$
begin
  if pg_catalog.to_regtype('tinydev_lib.refreshable') is not null then
    alter type tinydev_lib.refreshable add attribute reads_others boolean;
  end if;
end $$;

reset role;

---- create above / drop below ----
