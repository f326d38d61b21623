create or replace function tinydev.drop_view(name text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return tinydev_lib.drop_relation(drop_view.name, 'view', drop_view.dry_run);
end $$;

comment on function tinydev.drop_view(text, boolean) is
$$Drops a materialized view that you own and that nothing depends on, and with it its job. With dry_run drops nothing and answers {"sql":[…]}.
Errors: TD404 view_not_found; TD403 not_owner; TD409 in_use with the dependents in "dependents".$$;
