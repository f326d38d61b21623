set local role tinydev_owner;

-- Who of an outside identity provider is which user; a provider may let people change the claim that names them, but not this.
create table tinydev_impl.identity (
  issuer    text        not null,
  subject   text        not null,
  role_name name        not null,
  linked_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (issuer, subject),
  unique (issuer, role_name)
);

reset role;

---- create above / drop below ----
