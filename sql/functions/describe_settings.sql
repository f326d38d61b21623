create or replace function tinydev.describe_settings() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
  select jsonb_build_object('read_all', i.read_all,
    'event_retention', i.event_retention::text, 'run_retention', i.run_retention::text, 'audit_retention', i.audit_retention::text,
    'delivery_retention', i.delivery_retention::text,
    'connections', i.max_connections, 'statement_seconds', i.statement_seconds, 'work_mem_mb', i.work_mem_mb, 'temp_file_mb', i.temp_file_mb,
    'page_rows', i.page_rows, 'running_jobs', i.running_jobs, 'idle_transaction_seconds', i.idle_transaction_seconds)
    from tinydev_impl.instance i
$$;

comment on function tinydev.describe_settings() is
$$The settings of this installation as one object: {"read_all":false,"event_retention":"90 days",…,"page_rows":1000}. tinydev.settings tells
what each is.$$;
