do $$
begin
  if pg_catalog.to_regtype('tinydev.refreshable') is null then
    create type tinydev.refreshable as (view_id oid, full_name text, is_concurrent boolean);
  end if;
end $$;

comment on type tinydev.refreshable is 'A materialized view that the caller may refresh, and whether CONCURRENTLY.';

create or replace function tinydev.find_refreshable(view text) returns tinydev.refreshable
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found  tinydev.refreshable;
  v_owner  name;
begin
  select f.relation_id, f.full_name, f.owner into v_found.view_id, v_found.full_name, v_owner from tinydev.find_relation(find_refreshable.view, 'view') f;
  perform tinydev.require_owner(v_found.full_name, v_owner);
  v_found.is_concurrent := (select r.can_refresh_concurrently from tinydev.relation r where r.relation_id = v_found.view_id);
  return v_found;
end $$;

comment on function tinydev.find_refreshable(text) is
$$Finds a materialized view that the caller owns. Errors: TD404 view_not_found; TD403 not_owner; TD422 not_a_view.$$;
