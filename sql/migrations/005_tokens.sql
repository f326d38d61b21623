set local role tinydev_owner;

-- A page session is a token that a browser holds; it ends with the token that it was opened with.
alter table tinydev_impl.token
  drop constraint token_name_taken,
  add column kind         text    not null default 'token' check (kind in ('token', 'session')),
  add column parent_id    bigint  references tinydev_impl.token on delete cascade,
  add column prefix       text    not null default '',
  add column read_only    boolean not null default false,
  add column scopes       text[],
  add column expires_at   timestamptz,
  add column last_used_at timestamptz,
  add column created_by   name;
create unique index token_name_taken on tinydev_impl.token (role_name, name) where kind = 'token';
create index token_parent on tinydev_impl.token (parent_id);

reset role;

-- authenticate and register_token take their place.
drop function if exists tinydev_impl.token_role(text);
drop function if exists tinydev_impl.put_token(name, text, text);

---- create above / drop below ----
