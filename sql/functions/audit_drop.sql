create or replace function tinydev_impl.audit_drop() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
set quote_all_identifiers = off
as $$
declare
  v_object record;
begin
  for v_object in
    -- With its cascade, but not the parts of what was dropped; a view's query is a rule.
    select o.object_type, o.object_identity, o.original from pg_event_trigger_dropped_objects() o
     where not o.is_temporary and (o.original or o.normal and o.object_type <> 'rule')
  loop
    perform tinydev_impl.audit('drop ' || v_object.object_type, v_object.object_identity, null,
      jsonb_build_object('object_type', v_object.object_type, 'cascaded', not v_object.original));
  end loop;
exception when others then
  perform tinydev_impl.not_audited(sqlstate, sqlerrm);
end $$;

comment on function tinydev_impl.audit_drop() is
$$Audits what the command dropped of which an event trigger is told right now. Lets the command go on when that fails.$$;
