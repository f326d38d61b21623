-- They take more arguments now.
drop procedure if exists tinydev.refresh(text, text, integer, text, text, text, text, integer, integer);
drop function if exists tinydev.schedule(text, text, text, text, text, integer, integer, boolean);
drop function if exists tinydev.alter_job(bigint, text, text, boolean, text, text, integer, integer, boolean);
drop function if exists tinydev_lib.check_job_options(text, text, integer, integer);

set local role tinydev_owner;

alter table tinydev_impl.job_state add column after text[] not null default '{}';  -- subjects of events after which it runs
alter table tinydev_impl.job_state add column claimed_until timestamptz;           -- until when who claimed a run besides the schedule has to begin it
alter table tinydev_impl.run add column wave bigint;                               -- event_id of what had it refreshed, and what that comes from

-- What came to pass with what a job runs after, until its run after that begins. Only added to by the placer, which waits for nobody's locks.
create table tinydev_impl.upstream_mark (
  mark_id   bigint      generated always as identity primary key,
  job_id    bigint      not null,
  wave      bigint      not null,
  subject   text        not null,
  outcome   text        not null check (outcome in ('done', 'failed')),
  noted_at  timestamptz not null default pg_catalog.clock_timestamp()
);
create index upstream_mark_job on tinydev_impl.upstream_mark (job_id);
create index job_state_after on tinydev_impl.job_state (job_id) where after <> '{}';
create index job_state_once on tinydev_impl.job_state (job_id) where schedule like 'at %';
create index run_wave on tinydev_impl.run (wave, view) where wave is not null;

-- The functions make it where it is not there yet.
do $$
begin
  if pg_catalog.to_regtype('tinydev_lib.refreshable') is not null then
    alter type tinydev_lib.refreshable add attribute is_populated boolean;
  end if;
end $$;

reset role;

---- create above / drop below ----
