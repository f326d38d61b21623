create or replace function tinydev.alter_user(
  name                     text,
  admin                    boolean default null,
  connections              integer default null,
  statement_seconds        integer default null,
  work_mem_mb              integer default null,
  temp_file_mb             integer default null,
  page_rows                integer default null,
  running_jobs             integer default null,
  idle_transaction_seconds integer default null,
  dry_run                  boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  perform tinydev_lib.require_admin();
  v_answer := tinydev_lib.change_user(alter_user.name, alter_user.admin, jsonb_strip_nulls(jsonb_build_object(
      'connections', connections, 'statement_seconds', statement_seconds, 'work_mem_mb', work_mem_mb, 'temp_file_mb', temp_file_mb,
      'page_rows', page_rows, 'running_jobs', running_jobs, 'idle_transaction_seconds', idle_transaction_seconds)), alter_user.dry_run);
  if alter_user.dry_run then
    return v_answer;
  end if;
  return tinydev.describe_user(alter_user.name);
end $$;

comment on function tinydev.alter_user(text, boolean, integer, integer, integer, integer, integer, integer, integer, boolean) is
$$Changes a user: makes it an administrator or no longer one, and its limits (see tinydev.create_user). What is null stays; a limit of 0 goes
back to the default. connections, work_mem_mb and temp_file_mb hold for new sessions, the others at once. For administrators.
Answers as tinydev.describe_user; with dry_run changes nothing and answers {"sql":[…]}.
Example: select tinydev.alter_user('bob', statement_seconds => 60);
Errors: TD403 admin_only, user_privileged, role_not_ours; TD404 user_not_found; TD409 last_admin; TD422 user_limit_invalid, limit_unsupported.$$;
