set local role tinydev_owner;

-- What happened to one subject, without reading all that happened.
create index event_subject on tinydev_impl.event (subject, position);

-- What users ask of functions with the owner's rights, see tinydev_lib.own_request; a row is carried out and removed as soon as it is there.
create table tinydev_impl.request (
  request_id bigint generated always as identity primary key,
  role_name  name  not null,
  verb       text  not null,
  arguments  jsonb not null default '{}',
  answer     jsonb
);

-- The servers that deliver. One that does not renew its lease has none.
create table tinydev_impl.server (
  server_id     uuid primary key,
  name          text        not null,
  lease_until   timestamptz not null,
  kinds         text[]      not null,
  commands      jsonb       not null default '{}',
  webhook_allow cidr[]      not null default '{}'
) with (fillfactor = 10);

create table tinydev_impl.subscription (
  subscription_id     bigint generated always as identity primary key,
  role_name           name        not null,
  name                text        not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  kind                text        not null check (kind ~ '^[a-z]{1,20}$'),
  target              text        not null default '',
  types               text[],
  subjects            text[],
  condition           jsonpath,
  attach              text,
  attach_rows         integer     not null default 100 check (attach_rows between 1 and 1000),
  options             jsonb       not null default '{}' check (jsonb_typeof(options) = 'object'),
  rearm               text        not null default 'each' check (rearm in ('each', 'once', 'every')),
  rearm_seconds       integer     check (rearm_seconds between 1 and 31536000),
  digest_seconds      integer     not null default 0 check (digest_seconds between 0 and 604800),
  timeout_seconds     integer     not null default 30 check (timeout_seconds between 1 and 300),
  retry_seconds       integer[]   not null default '{5,30,120,600,1800,3600,10800,21600,43200}',
  pause_after_seconds integer     not null default 43200 check (pause_after_seconds between 60 and 31536000),
  secret              text,
  old_secret          text,
  old_secret_until    timestamptz,
  link_secret         text        not null default '',
  active              boolean     not null default true,
  paused_at           timestamptz,
  pause_reason        text        check (pause_reason in ('user', 'failing', 'gone', 'unsubscribed', 'no_target')),
  cursor_position     bigint      not null default 0,
  read_position       bigint      not null default 0,
  round               integer     not null default 1,
  version             bigint      not null default 1,
  holder              uuid,
  failing_since       timestamptz,
  dead_lettered_at    timestamptz,
  last_delivered_at   timestamptz,
  created_at          timestamptz not null default pg_catalog.clock_timestamp(),
  constraint subscription_name_taken unique (role_name, name),
  check ((rearm = 'every') = (rearm_seconds is not null)),
  check (active = (pause_reason is null))
) with (fillfactor = 50);
create index subscription_holder on tinydev_impl.subscription (holder);

-- Partitions as those of the log, and dropped with them: without its event nothing can be delivered once more.
create table tinydev_impl.delivery (
  subscription_id bigint  not null,
  position        bigint  not null,
  round           integer not null,
  lane            text    not null,
  type            text    not null,
  subject         text    not null,
  state           text    not null check (state in ('pending', 'failing', 'delivered', 'dead')),
  attempt_count   integer not null,
  next_attempt_at timestamptz,
  last_attempt_at timestamptz,
  status_code     integer,
  latency_ms      integer,
  error           text,
  response        text,
  attempts        jsonb   not null default '[]',
  primary key (subscription_id, position)
) partition by range (position);
create index delivery_open on tinydev_impl.delivery (subscription_id, lane, position) where state in ('pending', 'failing');
create index delivery_dead on tinydev_impl.delivery (subscription_id, position) where state = 'dead';
alter table tinydev_impl.subscription enable row level security;
alter table tinydev_impl.delivery enable row level security;
grant select on tinydev_impl.subscription, tinydev_impl.delivery to tinydev_reader;

do $$
declare
  v_partition record;
begin
  for v_partition in select * from tinydev_impl.event_partition order by position_from loop
    execute pg_catalog.format('create table tinydev_impl.%I partition of tinydev_impl.delivery for values from (%s) to (%s)',
      'delivery_' || v_partition.position_from, v_partition.position_from, v_partition.position_to);
  end loop;
end $$;

-- Who wants no more e-mail of a user: there is no list of addresses, one can only ask about a given one.
create table tinydev_impl.opted_out (
  role_name      name not null,
  address_sha256 text not null check (address_sha256 ~ '^[0-9a-f]{64}$'),
  primary key (role_name, address_sha256)
);

alter table tinydev_impl.instance add column delivery_retention interval not null default '30 days';

-- Users from before get what new ones do, see tinydev_impl.add_notices.
insert into tinydev_impl.subscription (role_name, name, kind, types, rearm, active, paused_at, pause_reason, cursor_position, read_position)
select r.rolname, 'notices', 'email', array['view.failed', 'view.missed', 'view.refreshed', 'subscription.paused', 'subscription.resumed', 'delivery.dead_lettered'], 'once', false, pg_catalog.clock_timestamp(), 'no_target', h.position, h.position
  from pg_catalog.pg_roles r, tinydev_impl.head h
 where r.rolcanlogin and not r.rolsuper
   and exists (select from pg_catalog.pg_auth_members m where m.roleid = 'tinydev_user'::pg_catalog.regrole and m.member = r.oid);

reset role;

-- It answers with text now.
drop function if exists tinydev_impl.read_events_as(name, bigint, integer);

---- create above / drop below ----
