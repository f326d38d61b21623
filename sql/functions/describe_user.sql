create or replace function tinydev.describe_user(name text default session_user) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user tinydev.user;
begin
  select * into v_user from tinydev.user u where u.name = describe_user.name;
  if not found then
    perform tinydev_lib.fault(404, 'user_not_found', format('there is no user %s', describe_user.name), 'select name from tinydev.user lists them');
  end if;
  return jsonb_build_object('name', v_user.name, 'admin', v_user.admin,
    'limits', case when v_user.page_rows is not null then jsonb_build_object(
      'connections', v_user.connections, 'statement_seconds', v_user.statement_seconds, 'work_mem_mb', v_user.work_mem_mb, 'temp_file_mb', v_user.temp_file_mb,
      'page_rows', v_user.page_rows, 'running_jobs', v_user.running_jobs, 'idle_transaction_seconds', v_user.idle_transaction_seconds) end,
    'sessions', v_user.sessions, 'jobs', v_user.jobs, 'token_last_used_at', v_user.token_last_used_at);
end $$;

comment on function tinydev.describe_user(text) is
$$A user, yourself by default, as {"name":"bob","admin":false,"limits":{"connections":20,…},"sessions":2,"jobs":5,"token_last_used_at":…}; about
others all but name and admin is null, unless you are an administrator. Errors: TD404 user_not_found.$$;
