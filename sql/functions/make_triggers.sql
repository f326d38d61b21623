create or replace function tinydev_impl.ask_for_triggers() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('tinydev_inbox', '');
  end if;
end $$;

comment on function tinydev_impl.ask_for_triggers() is 'Wakes who places events, at commit, to make and remove triggers.';

create or replace function tinydev_impl.make_triggers() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_request record;
begin
  for v_request in
    select r.request_id, r.role_name, r.verb, r.answer ->> 'trigger_name' as trigger_name, r.answer -> 'definition' as definition
      from tinydev_impl.request r
     where r.answer ->> 'state' = 'pending' and coalesce((r.answer ->> 'tried_at')::timestamptz < clock_timestamp() - interval '5 s', true)
     order by r.request_id limit 20
       for update skip locked
  loop
    begin
      if v_request.verb = 'drop_trigger' then
        -- Readers wait behind it, so it waits for the ones before it as long as they would not mind.
        execute format('drop trigger if exists %I on tinydev_impl.event', v_request.trigger_name);
      elsif exists (select from pg_trigger t where t.tgrelid = 'tinydev_impl.event'::regclass and t.tgname = v_request.trigger_name) then
        -- One of that name is to be removed first, or two sessions of its owner made it at the same time.
        continue when exists (select from tinydev_impl.request r where r.verb = 'drop_trigger' and r.answer ->> 'trigger_name' = v_request.trigger_name);
        perform tinydev_lib.fault(409, 'trigger_name_taken', 'there is a trigger of that name');
      elsif (select count(*) from tinydev_impl.made_trigger m where m.owner = v_request.role_name and m.state = 'active') >= 50 then
        perform tinydev_lib.fault(409, 'triggers_too_many', 'there are 50 triggers');
      elsif tinydev_impl.is_user(v_request.role_name) then
        -- Nobody else writes here, and readers are not in the way; autovacuum, which is, gives way after deadlock_timeout.
        perform set_config('lock_timeout', '1500ms', true);
        execute array_to_string(tinydev_impl.trigger_sql(v_request.definition), ';');
        perform set_config('lock_timeout', '100ms', true);
      end if;
      delete from tinydev_impl.request r where r.request_id = v_request.request_id;
    exception when lock_not_available or deadlock_detected then
      update tinydev_impl.request r set answer = r.answer || jsonb_build_object('tried_at', clock_timestamp()) where r.answer ->> 'state' = 'pending';
      exit;
    when others then
      update tinydev_impl.request r set answer = r.answer || jsonb_build_object('state', 'failed', 'error', sqlerrm) where r.request_id = v_request.request_id;
      raise log 'tinydev: the trigger % could not be changed: % (%)', v_request.trigger_name, sqlerrm, sqlstate;
    end;
  end loop;
end $$;

comment on function tinydev_impl.make_triggers() is
$$Makes and removes the triggers that users asked for, for who places events and with its lock held: nobody writes to the log meanwhile. What cannot
be locked at once is tried again after 5 s.$$;
