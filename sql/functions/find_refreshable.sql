do $$
begin
  if pg_catalog.to_regtype('tinydev_lib.refreshable') is null then
    create type tinydev_lib.refreshable as (view_id oid, full_name text, is_concurrent boolean, reads_others boolean, is_populated boolean);
  end if;
end $$;

comment on type tinydev_lib.refreshable is 'A materialized view that the caller may refresh, whether CONCURRENTLY, whether its query may use what is another owner''s, and whether it holds something yet.';

create or replace function tinydev_lib.find_refreshable(view text) returns tinydev_lib.refreshable
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found tinydev_lib.refreshable;
  v_owner name;
begin
  -- reads_others: the query names a relation, function, operator or type that is not plainly the owner's. The numbers are those of
  -- pg_type, pg_proc, pg_class, pg_operator and pg_rewrite in all versions; each name would be one more look-up.
  -- One look: a scheduled refresh has a new session, in which each function and view that is touched first costs up to a
  -- millisecond. The third column is can_refresh_concurrently of tinydev.relation.
  select c.oid, format('%I.%I', n.nspname, c.relname),
         c.relispopulated and exists (
           select from pg_index i
            where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null),
         exists (
           select from pg_depend d
            where d.classid = 2618 and d.objid = (select w.oid from pg_rewrite w where w.ev_class = c.oid) and d.refobjid <> c.oid
              and case d.refclassid
                    when 1259 then not exists (select from pg_class t where t.oid = d.refobjid and t.relowner = c.relowner
                                                and t.relkind in ('r', 'm') and not t.relhassubclass and not t.relispartition)
                                   or exists (select from pg_depend t where t.classid = 1259 and t.objid = d.refobjid and t.refclassid = 1247)
                    when 1255 then not exists (select from pg_proc f where f.oid = d.refobjid and f.proowner = c.relowner and f.prokind in ('f', 'w'))
                    else d.refclassid in (1247, 2617)
                  end),
         c.relispopulated
    into v_found.view_id, v_found.full_name, v_found.is_concurrent, v_found.reads_others, v_found.is_populated
    from tinydev_lib.parse_name(find_refreshable.view) p
    join pg_namespace n on n.nspname = p.workspace
    join pg_class c on c.relnamespace = n.oid and c.relname = p.relation and c.relkind = 'm'
   where pg_get_userbyid(c.relowner) = current_user and session_user = current_user;
  if not found then
    select f.full_name, f.owner into v_found.full_name, v_owner from tinydev_lib.find_relation(find_refreshable.view, 'view') f;
    perform tinydev_lib.require_owner(v_found.full_name, v_owner);
  end if;
  return v_found;
end $$;

comment on function tinydev_lib.find_refreshable(text) is
$$Finds a materialized view that the caller owns. Errors: TD404 view_not_found; TD403 not_owner; TD422 not_a_view.$$;
