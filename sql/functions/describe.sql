create or replace function tinydev.describe(name text, kind text default 'any') returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id    oid;
  v_name  text;
  v_owner name;
  v_answer jsonb;
begin
  select f.relation_id, f.full_name, f.owner into v_id, v_name, v_owner from tinydev_lib.find_relation(describe.name, describe.kind) f;
  select jsonb_build_object(
           'name', v_name, 'kind', r.kind, 'owner', v_owner,
           'columns', tinydev_lib.relation_columns(v_id),
           'populated', r.is_populated, 'row_estimate', r.row_estimate, 'bytes', r.total_bytes, 'comment', r.comment,
           -- PostgreSQL 12 opens what the view reads to print it, and that may run code.
           'query', case when r.kind in ('view', 'materialized view')
                          and (current_setting('server_version_num')::integer >= 130000 or not exists (select from tinydev_lib.foreign_code(v_id, 'refresh')))
                    then rtrim(pg_get_viewdef(v_id, true), ';') end,
           'indexes', (select coalesce(jsonb_agg(pg_get_indexdef(i.indexrelid) order by i.indexrelid), '[]') from pg_index i where i.indrelid = v_id),
           'concurrently', r.can_refresh_concurrently)
    into v_answer from tinydev.relation r where r.relation_id = v_id;
  if v_answer is null then
    perform tinydev_lib.fault(403, 'not_readable', format('you may not read %s', v_name), format('ask %I to share it', v_owner));
  end if;
  return v_answer;
end $$;

comment on function tinydev.describe(text, text) is
$$A table or view with its columns, indexes, size and, for a view, its query: {"name","kind","owner","columns","populated",…}.
row_estimate is the planner's, -1 when never analysed. kind is any, table or view.
Errors: as tinydev_lib.find_relation; TD403 not_readable.$$;
