create or replace function tinydev_lib.limit_names() returns table (name text, highest integer, is_setting_of_role boolean)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  values ('connections', 10000, true), ('statement_seconds', 86400, false), ('work_mem_mb', 65536, true), ('temp_file_mb', 10000000, true),
         ('page_rows', 10000, false), ('running_jobs', 1000, false), ('idle_transaction_seconds', 86400, false)
$$;

comment on function tinydev_lib.limit_names() is
$$The limits of a user, with the highest value of each. Where is_setting_of_role PostgreSQL alone keeps and enforces it.$$;
