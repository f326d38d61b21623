create or replace function tinydev_impl.finish_run() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run      tinydev_impl.run;
  v_retry_at timestamptz;
begin
  update tinydev_impl.run r
     set status = case new.type when 'view.failed' then 'failed' else 'succeeded' end, ended_at = clock_timestamp(), event_id = new.event_id, view_id = coalesce(new.subject_id, r.view_id),
         rows = (new.data ->> 'rows')::bigint, bytes = (new.data ->> 'bytes')::bigint, sqlstate = new.data ->> 'sqlstate', message = new.data ->> 'message'
   where r.run_id = (new.data ->> 'run_id')::bigint and r.owner = new.actor and r.status = 'running' and r.pid = pg_backend_pid()
  returning * into v_run;
  v_retry_at := tinydev_impl.note_run(v_run);
  if v_retry_at is not null then
    new.data := new.data || jsonb_build_object('retry_at', v_retry_at);
  end if;
  return new;
end $$;

comment on function tinydev_impl.finish_run() is
$$Ends a run of this session when its event is written, in the same transaction, and plans another attempt where the job has retries.$$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.inbox'::pg_catalog.regclass and tgname = 't10_finish') then
    create trigger t10_finish before insert on tinydev_impl.inbox for each row
      when (new.type in ('view.refreshed', 'view.failed') and pg_catalog.jsonb_typeof(new.data -> 'run_id') = 'number') execute function tinydev_impl.finish_run();
  end if;
end $$;
