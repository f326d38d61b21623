create or replace function tinydev.create_user(
  name                     text,
  admin                    boolean default false,
  connections              integer default null,
  statement_seconds        integer default null,
  work_mem_mb              integer default null,
  temp_file_mb             integer default null,
  page_rows                integer default null,
  running_jobs             integer default null,
  idle_transaction_seconds integer default null,
  reuse                    boolean default false,
  dry_run                  boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  perform tinydev_lib.require_admin();
  v_answer := tinydev_lib.put_user(create_user.name, create_user.admin, jsonb_strip_nulls(jsonb_build_object(
      'connections', connections, 'statement_seconds', statement_seconds, 'work_mem_mb', work_mem_mb, 'temp_file_mb', temp_file_mb,
      'page_rows', page_rows, 'running_jobs', running_jobs, 'idle_transaction_seconds', idle_transaction_seconds)),
    create_user.reuse, create_user.dry_run);
  if create_user.dry_run then
    return v_answer;
  end if;
  return tinydev.describe_user(create_user.name);
end $$;

comment on function tinydev.create_user(text, boolean, integer, integer, integer, integer, integer, integer, integer, boolean, boolean) is
$$Makes a user: a role that may log in, and its workspace, a schema of the same name. For administrators. A limit that is null or 0 is the
default of tinydev.settings. What holds whatever the user does:
  connections               sessions at once
  temp_file_mb              temporary files of one session, PostgreSQL 15 and newer
  running_jobs              runs of pg_cron at once; the newest beyond it are ended within 15 s and their
                            jobs paused for 15 minutes; of active jobs there may be 50 times as many
  idle_transaction_seconds  how long a transaction may be open and idle; ended within 15 s
  statement_seconds, page_rows   time of one statement, and rows of a page of an answer, over HTTP
What the user can lift in psql: work_mem_mb; statement_seconds and page_rows do not exist there, since a role's own statement_timeout would
end its long refreshes too. The name of a former user is refused, unless reuse: events and loads are seen by name; and as
long as a schema of the name is there, such as a workspace that was reassigned.
Answers as tinydev.describe_user; with dry_run makes nothing and answers {"sql":[…]}.
Example: select tinydev.create_user('bob', connections => 5);
Errors: TD403 admin_only; TD422 user_name_invalid, user_limit_invalid, limit_unsupported; TD409 name_taken, name_retired.$$;
