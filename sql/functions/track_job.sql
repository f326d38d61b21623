-- runs as: installer
create or replace function tinydev_impl.track_job() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_impl.put_job_state(new.jobid, new.username::name, new.schedule, new.command, new.active and new.database = current_database());
  return null;
end $$;

alter function tinydev_impl.track_job() owner to tinydev_owner;

comment on function tinydev_impl.track_job() is $$Keeps tinydev_impl.job_state for the rows of cron.job that are ours, made in psql too. What passed before a change is not missed.$$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'cron.job'::pg_catalog.regclass and tgname = 't50_tinydev_track') then
    create trigger t50_tinydev_track after insert or update on cron.job for each row execute function tinydev_impl.track_job();
  end if;
end $$;
