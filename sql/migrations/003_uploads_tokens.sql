set local role tinydev_owner;

create table tinydev.upload (
  upload_id   bigint generated always as identity primary key,
  workspace   name        not null,
  table_name  name        not null,
  table_id    oid         not null,
  is_new      boolean     not null,
  row_count   bigint      not null,
  rejected_count bigint   not null default 0,
  body_bytes  bigint      not null,
  sha256      text        not null check (sha256 ~ '^[0-9a-f]{64}$'),
  source      text        not null default '',
  encoding    text        not null,
  delimiter   text        not null,
  columns     jsonb       not null,
  uploaded_by name        not null,
  uploaded_at timestamptz not null default pg_catalog.clock_timestamp(),
  duration_ms bigint      not null,
  is_forced   boolean     not null default false
);
create unique index upload_repeated on tinydev.upload (table_id, sha256) where not is_forced;
alter table tinydev.upload enable row level security;
create policy upload_visible on tinydev.upload for select to tinydev_user
  using (uploaded_by = current_user or pg_catalog.has_table_privilege(table_id, 'select'));
grant select on tinydev.upload to tinydev_user;

comment on table tinydev.upload is
$$The loads that were committed, one row each: what came in, from where, by whom. You see those you made and those into tables you may read.$$;
comment on column tinydev.upload.table_id    is 'pg_class.oid of the table when it was loaded';
comment on column tinydev.upload.is_new      is 'whether this load created the table';
comment on column tinydev.upload.body_bytes  is 'size of the file as it was sent';
comment on column tinydev.upload.sha256      is 'SHA-256 of the file as it was sent, in hexadecimal';
comment on column tinydev.upload.source      is 'name of the file as the client gave it';
comment on column tinydev.upload.delimiter   is 'the byte between cells';
comment on column tinydev.upload.columns     is 'the columns that were loaded: [{"name":…,"type":…}]';
comment on column tinydev.upload.is_forced   is 'whether it was loaded although the same content may have been loaded before';
comment on column tinydev.upload.duration_ms is 'from the first byte to the end of the load';

create table tinydev_impl.token (
  token_id   bigint generated always as identity primary key,
  sha256     text        not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
  role_name  name        not null,
  name       text        not null,
  created_at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint token_name_taken unique (role_name, name)
);

reset role;

---- create above / drop below ----
