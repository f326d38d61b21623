create or replace function tinydev.record_upload("table" text, load jsonb, force boolean default false) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_id        oid;
  v_workspace name;
  v_name      name;
  v_first     record;
  v_upload_id bigint;
begin
  select f.relation_id into v_id from tinydev_lib.find_relation(record_upload."table", 'table') f;
  select n.nspname, c.relname into v_workspace, v_name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = v_id;
  if not has_table_privilege(current_user, v_id, 'insert') then
    perform tinydev_lib.fault(403, 'not_writable', format('you may not load into %I.%I', v_workspace, v_name), 'ask its owner');
  end if;
  -- The index makes a second load wait for the first one that is under way.
  insert into tinydev_lib.own_upload (workspace, table_name, table_id, is_new, row_count, body_bytes, sha256, source, encoding, delimiter, columns, uploaded_by, duration_ms, is_forced)
  select v_workspace, v_name, v_id, l.is_new, l.row_count, l.body_bytes, l.sha256, coalesce(l.source, ''), l.encoding, l.delimiter, l.columns, current_user, l.duration_ms, coalesce(force, false)
    from jsonb_to_record(load) as l (is_new boolean, row_count bigint, body_bytes bigint, sha256 text, source text, encoding text, delimiter text, columns jsonb, duration_ms bigint)
  on conflict (table_id, sha256) where not is_forced do nothing
  returning upload_id into v_upload_id;
  if not found then
    select u.upload_id, u.uploaded_at into v_first from tinydev.upload u
     where u.table_id = v_id and u.sha256 = load ->> 'sha256' order by u.upload_id limit 1;
    perform tinydev_lib.fault(409, 'already_loaded', format('this very file was loaded into %I.%I before', v_workspace, v_name)
        || coalesce(format(', as upload %s at ', v_first.upload_id) || to_char(v_first.uploaded_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), ''),
      'send force=true to load it again', jsonb_build_object('upload_id', v_first.upload_id));
  end if;
  perform tinydev.record_event('table.loaded', v_id, null, jsonb_build_object(
    'upload_id', v_upload_id, 'rows', load -> 'row_count', 'rejected', 0, 'created', load -> 'is_new', 'duration_ms', load -> 'duration_ms', 'source', load -> 'source'));
  return v_upload_id;
end $$;

comment on function tinydev.record_upload(text, jsonb, boolean) is
$$Enters a load into tinydev.upload and records table.loaded, in the transaction of the load; returns the upload_id.
load is {"is_new","row_count","body_bytes","sha256","source","encoding","delimiter","columns","duration_ms"}.
Errors: TD409 already_loaded with the first "upload_id", unless force; TD403 not_writable; TD404 table_not_found.$$;
