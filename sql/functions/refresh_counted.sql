-- No SET clause, which would hold for the functions of the view's query too; everything is named in full instead.
create or replace function tinydev_lib.refresh_counted(view_id oid, full_name text) returns bigint
language plpgsql
as $$
declare
  v_deleted bigint := pg_catalog.pg_stat_get_xact_tuples_deleted(view_id);
begin
  execute pg_catalog.format('refresh materialized view concurrently %s', full_name);
  return pg_catalog.pg_stat_get_xact_tuples_deleted(view_id) operator(pg_catalog.-) v_deleted;
end $$;

comment on function tinydev_lib.refresh_counted(oid, text) is 'Refreshes a materialized view CONCURRENTLY and gives how many rows it deleted.';
