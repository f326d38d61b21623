create or replace function tinydev.record_event(type text, subject_id oid, subject text, data jsonb default '{}') returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_id        oid;
  v_subject   text;
  v_workspace name;
  v_event_id  bigint;
begin
  if record_event.type !~ '^[a-z][a-z_]*[.][a-z][a-z_]*$' or length(record_event.type) > 100 then
    perform tinydev_lib.fault(422, 'event_type_invalid', format('%L is not an event type', record_event.type), 'write it as noun.verb, such as view.refreshed, with up to 100 letters');
  end if;
  if octet_length(record_event.data::text) > 262144 then
    perform tinydev_lib.fault(422, 'event_too_large', 'the data of an event may take 256 KiB', 'keep what is large in a table and name it in the event');
  end if;
  select c.oid, format('%I.%I', n.nspname, c.relname), n.nspname into v_id, v_subject, v_workspace
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = record_event.subject_id;
  if not found then
    -- What is gone or never came to be can only have been in the caller's own workspace.
    select p.workspace, format('%I.%I', p.workspace, p.relation) into v_workspace, v_subject from tinydev_lib.parse_name(record_event.subject) p;
  end if;
  if tinydev_lib.may_record(record_event.type, v_subject, v_id, v_workspace) is not true then
    perform tinydev_lib.fault(403, 'not_owner', format('only the owner of %s may record an event about it', coalesce(v_subject, record_event.subject)));
  end if;
  insert into tinydev_lib.own_event (type, subject, subject_id, workspace, actor, data)
  values (record_event.type, v_subject, v_id, v_workspace, current_user, coalesce(record_event.data, '{}'))
  returning event_id into v_event_id;
  return v_event_id;
end $$;

comment on function tinydev.record_event(text, oid, text, jsonb) is
$$Writes an event about a relation of yours into the log, in this transaction; returns its event_id.
With a subject_id the name is looked up; without one the subject must be a name in your own workspace.
Errors: TD403 not_owner; TD422 event_type_invalid, event_too_large.$$;
