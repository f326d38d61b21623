set local role tinydev_owner;

create table tinydev_impl.trust (
  role_name  name        not null,
  owner_name name        not null check (owner_name <> role_name),
  trusted_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (role_name, owner_name)
);

reset role;

---- create above / drop below ----
