set local role tinydev_owner;

-- Who of an outside identity provider is which user; a provider may let people change the claim that names them, but not this.
create table tinydev_impl.identity (
  issuer    text        not null check (issuer <> ''),
  subject   text        not null check (pg_catalog.length(subject) between 1 and 255),
  role_name name        not null,
  linked_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (issuer, subject),
  unique (issuer, role_name)
);
grant select, insert, update, delete on tinydev_impl.identity to tinydev_roles;

reset role;

---- create above / drop below ----
