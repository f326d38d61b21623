create or replace function tinydev_lib.require_free(workspace name, relation name, hint text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = require_free.workspace and c.relname = require_free.relation) then
    perform tinydev_lib.fault(409, 'name_taken', format('%I.%I is there already', workspace, relation), hint);
  end if;
end $$;

comment on function tinydev_lib.require_free(name, name, text) is
$$Raises TD409 name_taken when a table, view, index or sequence has the name.$$;
