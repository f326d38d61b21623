create or replace function tinydev_lib.record_failure(view text, view_id oid, data jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_workspace name;
  v_relation  name;
begin
  select p.workspace, p.relation into v_workspace, v_relation from tinydev_lib.parse_name(record_failure.view) p;
  if record_failure.view_id is not null or v_workspace = session_user then
    perform tinydev.record_event('view.failed', record_failure.view_id, format('%I.%I', v_workspace, v_relation), record_failure.data);
  end if;
end $$;

comment on function tinydev_lib.record_failure(text, oid, jsonb) is
$$Records view.failed about a view of yours, also about one that is gone from your own workspace.$$;
