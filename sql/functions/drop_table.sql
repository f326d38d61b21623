create or replace function tinydev.drop_table(name text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return tinydev_lib.drop_relation(drop_table.name, 'table', drop_table.dry_run);
end $$;

comment on function tinydev.drop_table(text, boolean) is
$$Drops a table that you own and that nothing depends on. With dry_run it drops nothing and answers {"sql":[…]}.
Errors: TD404 table_not_found; TD403 not_owner; TD409 in_use with the dependents in "dependents".$$;
