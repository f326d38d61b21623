create or replace view tinydev.settings with (security_barrier) as
select d.name, s.value, d.description
  from (values
    (1, 'read_all', 'whether all users may read the workspaces that are made from now on'),
    (2, 'event_retention', 'how long events are kept'),
    (3, 'run_retention', 'how long the runs of jobs are kept'),
    (4, 'audit_retention', 'how long the audit is kept'),
    (5, 'delivery_retention', 'how long deliveries that arrived are kept; others as long as their events'),
    (6, 'connections', 'sessions of a user at once; for new users'),
    (7, 'statement_seconds', 'time of one statement over HTTP'),
    (8, 'work_mem_mb', 'memory of one sort or hash; for new users'),
    (9, 'temp_file_mb', 'temporary files of one session; for new users, from PostgreSQL 15 on'),
    (10, 'page_rows', 'rows of one page of an answer over HTTP'),
    (11, 'running_jobs', 'runs of pg_cron of a user at once'),
    (12, 'idle_transaction_seconds', 'how long a transaction of a user may be open and idle')
  ) d (place, name, description)
  join pg_catalog.jsonb_each_text(tinydev.describe_settings()) s on s.key = d.name
 order by d.place;

grant select on tinydev.settings to tinydev_user;

comment on view tinydev.settings is
$$The settings of this installation. The limits hold for users that have none of their own. Administrators change them with tinydev.set_setting.$$;
comment on column tinydev.settings.value is 'as tinydev.set_setting takes it';
