-- They take more arguments now.
drop function if exists tinydev_impl.end_sessions(name, boolean);
drop procedure if exists tinydev.refresh(text, text, integer, text, text, text, text, integer, integer, text, text);
drop function if exists tinydev.schedule(text, text, text, text, text, text, integer, integer, text, boolean);
drop function if exists tinydev.alter_job(bigint, text, text, boolean, text, text, text, integer, integer, text, boolean);

set local role tinydev_owner;

alter table tinydev_impl.job_state add column in_wave boolean not null default false;
alter table tinydev_impl.job_state add column track_changes text not null default 'none';
alter table tinydev_impl.job_state add column wave_id bigint;                            -- of the wave that it was planned for last
alter table tinydev_impl.job_state add column wave_due_at timestamptz;                   -- while it waits for its turn there
alter table tinydev_impl.job_state add column wave_taken boolean not null default false; -- whether a session has taken it from there
alter table tinydev_impl.job_state add column wave_after text[] not null default '{}';   -- views of the wave that it reads
alter table tinydev_impl.job_state add column wave_skipped boolean not null default false;
create index job_state_wave on tinydev_impl.job_state (owner, schedule, time_zone) where in_wave;
create index job_state_turn on tinydev_impl.job_state (owner, schedule, time_zone, job_id) where in_wave and active and wave_due_at is not null and not wave_taken;

-- The jobs of one owner, schedule and zone that one session after the other takes from, and for when they were planned last.
create table tinydev_impl.wave (
  owner     name        not null,
  schedule  text        not null,
  time_zone text        not null,
  due_at    timestamptz not null,
  wave_id   bigint      not null,
  primary key (owner, schedule, time_zone)
);

reset role;

---- create above / drop below ----
