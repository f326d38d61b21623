set local role tinydev_owner;

-- What holds for users that have nothing of their own in user_limit, and what new ones get.
alter table tinydev_impl.instance
  add column read_all boolean not null default false,
  add column statement_seconds        integer not null default 300  check (statement_seconds between 1 and 86400),
  add column page_rows                integer not null default 1000 check (page_rows between 1 and 10000),
  add column running_jobs             integer not null default 8    check (running_jobs between 1 and 1000),
  add column max_connections          integer not null default 20   check (max_connections between 1 and 10000),
  add column work_mem_mb              integer not null default 64   check (work_mem_mb between 1 and 65536),
  add column temp_file_mb             integer not null default 4096 check (temp_file_mb between 1 and 10000000),
  add column idle_transaction_seconds integer not null default 600  check (idle_transaction_seconds between 1 and 86400);

create table tinydev_impl.user_limit (
  role_name         name primary key,
  statement_seconds integer check (statement_seconds between 1 and 86400),
  page_rows         integer check (page_rows between 1 and 10000),
  running_jobs      integer check (running_jobs between 1 and 1000),
  idle_transaction_seconds integer check (idle_transaction_seconds between 1 and 86400)
);
grant select, insert, update, delete on tinydev_impl.user_limit to tinydev_roles;

-- A name that is used again would show its new holder what the former one did.
create table tinydev_impl.dropped_user (
  role_name  name primary key,
  dropped_at timestamptz not null default pg_catalog.clock_timestamp(),
  dropped_by name        not null
);
grant select, insert, update, delete on tinydev_impl.dropped_user to tinydev_roles;
grant select, update on tinydev_impl.instance to tinydev_roles;

-- Jobs that the system paused for a while; held_until is null when they were let go.
create table tinydev_impl.held_job (
  job_id     bigint primary key,
  run_id     bigint,
  held_until timestamptz
);

reset role;
grant update (active) on cron.job to tinydev_owner;

-- Users from before there were limits get the defaults; what somebody set stays.
do $$
declare
  v_user record;
begin
  for v_user in
    select r.rolname, r.rolconnlimit, coalesce(r.rolconfig, '{}') as config from pg_catalog.pg_roles r
     where r.rolcanlogin and not (r.rolsuper or r.rolcreaterole or r.rolbypassrls or r.rolreplication)
       and exists (select from pg_catalog.pg_auth_members m where m.roleid = 'tinydev_user'::pg_catalog.regrole and m.member = r.oid)
  loop
    if v_user.rolconnlimit = -1 then
      execute pg_catalog.format('alter role %I connection limit 20', v_user.rolname);
    end if;
    if not exists (select from pg_catalog.unnest(v_user.config) c where c like 'work_mem=%') then
      execute pg_catalog.format('alter role %I set work_mem = ''64MB''', v_user.rolname);
    end if;
    if not exists (select from pg_catalog.unnest(v_user.config) c where c like 'temp_file_limit=%') then
      execute pg_catalog.format('alter role %I set temp_file_limit = ''4096MB''', v_user.rolname);
    end if;
    if not exists (select from pg_catalog.unnest(v_user.config) c where c like 'idle_in_transaction_session_timeout=%') then
      execute pg_catalog.format('alter role %I set idle_in_transaction_session_timeout = ''600s''', v_user.rolname);
    end if;
  end loop;
end $$;

-- It has more parameters now, and is no longer the one that makes the role.
drop function if exists tinydev.create_user(text, boolean);

---- create above / drop below ----
