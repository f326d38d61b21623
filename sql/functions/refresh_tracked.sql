-- No SET clause, which would hold for the functions of the view's query too; everything is named in full instead.
create or replace function tinydev_lib.refresh_tracked(view_id oid, full_name text, track_changes text) returns jsonb
language plpgsql
as $$
declare
  v_table    text := pg_catalog.format('pg_temp.tinydev_gone_%s', pg_catalog.txid_current());
  v_source   text := tinydev_lib.tracked_rows(view_id, full_name, track_changes);
  v_xid      text;
  v_found    bigint;
  v_inserted bigint := -pg_catalog.pg_stat_get_xact_tuples_inserted(view_id);
  v_deleted  bigint := -pg_catalog.pg_stat_get_xact_tuples_deleted(view_id);
  v_changes  jsonb;
begin
  execute pg_catalog.format('create temporary table %s (key pg_catalog.jsonb, lacks pg_catalog.bool, image pg_catalog.text, data pg_catalog.jsonb) on commit drop', v_table);
  -- Of the (sub)transaction that is open, which no function tells.
  select c.xmin::pg_catalog.text into v_xid from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) pg_catalog.to_regclass(v_table);
  -- Nothing is copied before: a stable function looks with the eyes of the statement that calls it, which began before the refresh, and so still sees the rows
  -- that this deleted.
  execute pg_catalog.format('insert into %s select o.* from tinydev_lib.refresh_counted(%L, %L) r(deleted), tinydev_lib.gone_rows(%L, r.deleted) o where r.deleted operator(pg_catalog.>) 0',
    v_table, view_id, full_name, pg_catalog.format('%s where t.xmax = %L', v_source, v_xid));
  get diagnostics v_found = row_count;
  v_inserted := v_inserted operator(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_inserted(view_id);
  v_deleted := v_deleted operator(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(view_id);
  -- A refresh that was committed while this one waited for it may have brought rows that this one deleted, and nobody saw.
  if v_found operator(pg_catalog.=) v_deleted then
    v_changes := tinydev_lib.tell_changes(v_table, pg_catalog.format('%s where t.xmin = %L', v_source, v_xid), v_inserted, v_deleted, track_changes);
  end if;
  execute pg_catalog.format('drop table %s', v_table);
  return coalesce(v_changes, '{}');
end $$;

comment on function tinydev_lib.refresh_tracked(oid, text, text) is
$$Refreshes a materialized view CONCURRENTLY and gives what its event says of the rows that changed, as tinydev.refresh describes it; {} when that is not known.
It reads the view twice, and writes only what changed: no copy of the view is made. The caller has made sure that the view has no foreign code, which casts to JSON are too.$$;
