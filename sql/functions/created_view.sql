create or replace function tinydev_lib.created_view(name text, type text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
  v_rows   bigint;
begin
  execute format('select count(*) from %s', created_view.name) into v_rows;
  v_answer := tinydev.describe(created_view.name, 'view') || jsonb_build_object('rows', v_rows);
  perform tinydev.record_event(created_view.type, created_view.name::regclass::oid, null, jsonb_build_object('rows', v_rows));
  return v_answer;
end $$;

comment on function tinydev_lib.created_view(text, text) is 'Records the event of a new or replaced view and describes it, with its number of rows.';
