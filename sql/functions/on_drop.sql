-- runs as: installer
create or replace function tinydev_impl.on_drop() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object record;
begin
  for v_object in
    select o.objid, o.object_identity, o.schema_name, o.object_type from pg_event_trigger_dropped_objects() o
     where o.object_type in ('materialized view', 'table', 'foreign table') and not o.is_temporary and o.object_name !~ '^tinydev_replaced_[0-9]+$'
  loop
    delete from tinydev_impl.freshness f where f.relation_id = v_object.objid;
    continue when v_object.object_type = 'foreign table';
    if v_object.object_type = 'materialized view' then
      delete from cron.job j where j.database = current_database() and tinydev_lib.job_view(j.command) = v_object.object_identity;
    end if;
    -- Only what lies in a user's workspace is ours to tell of.
    if tinydev_impl.is_user(v_object.schema_name) or tinydev_impl.is_user(session_user) then
      insert into tinydev_impl.inbox (type, subject, workspace, actor)
      values (case v_object.object_type when 'table' then 'table.dropped' else 'view.dropped' end, v_object.object_identity, v_object.schema_name, session_user);
    end if;
  end loop;
  if exists (select from pg_event_trigger_dropped_objects() o where not o.is_temporary) and tinydev_impl.is_user(session_user) then
    perform tinydev_impl.audit_drop();
  end if;
end $$;

alter function tinydev_impl.on_drop() owner to tinydev_owner;

do $$
begin
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'tinydev_drop') then
    create event trigger tinydev_drop on sql_drop execute function tinydev_impl.on_drop();
  end if;
end $$;

comment on event trigger tinydev_drop is 'TinyDevCRM: a dropped view takes its job along, what is dropped the promise of its freshness; what its users drop goes into the audit.';
