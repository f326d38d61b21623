create or replace view tinydev.user with (security_barrier) as
select r.rolname as name,
       pg_catalog.pg_has_role(r.oid, 'tinydev_admin', 'member') as admin,
       case when s.is_whole then nullif(r.rolconnlimit, -1) end as connections,
       case when s.is_whole then coalesce(l.statement_seconds, i.statement_seconds) end as statement_seconds,
       case when s.is_whole then tinydev_lib.megabytes(r.rolconfig, 'work_mem') end as work_mem_mb,
       case when s.is_whole then tinydev_lib.megabytes(r.rolconfig, 'temp_file_limit') end as temp_file_mb,
       case when s.is_whole then coalesce(l.page_rows, i.page_rows) end as page_rows,
       case when s.is_whole then coalesce(l.running_jobs, i.running_jobs) end as running_jobs,
       case when s.is_whole then coalesce(l.idle_transaction_seconds, i.idle_transaction_seconds) end as idle_transaction_seconds,
       case when s.is_whole then coalesce(a.count, 0) end as sessions,
       case when s.is_whole then coalesce(j.count, 0) end as jobs,
       case when s.is_whole then t.last_used_at end as token_last_used_at
  from pg_catalog.pg_roles r
 cross join tinydev_impl.instance i
 cross join lateral (select r.rolname = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member') as is_whole) s
  left join tinydev_impl.user_limit l on l.role_name = r.rolname
  left join (select usesysid, pg_catalog.count(*) from pg_catalog.pg_stat_activity where datname = pg_catalog.current_database() group by 1) a on a.usesysid = r.oid
  left join (select username, pg_catalog.count(*) from cron.job where database = pg_catalog.current_database() group by 1) j on j.username = r.rolname
  left join (select role_name, pg_catalog.max(last_used_at) as last_used_at from tinydev_impl.token group by 1) t on t.role_name = r.rolname
 where r.rolcanlogin
   and exists (select from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where g.rolname = 'tinydev_user' and m.member = r.oid)
   and tinydev_lib.above_user(r.oid) is null;

grant select on tinydev.user to tinydev_user;

comment on view tinydev.user is
$$The users. Names and who is an administrator are for all; the other columns are about yourself, and for administrators about everybody, else null.$$;
comment on column tinydev.user.admin                    is 'whether the user may make and drop users and see all events';
comment on column tinydev.user.connections              is 'sessions at once; null when there is no limit';
comment on column tinydev.user.statement_seconds        is 'time of one statement over HTTP';
comment on column tinydev.user.work_mem_mb              is 'memory of one sort or hash before it spills to disk; null for the server''s own; the user may change it in psql';
comment on column tinydev.user.temp_file_mb             is 'temporary files of one session; null for the server''s own';
comment on column tinydev.user.page_rows                is 'rows of one page of an answer over HTTP';
comment on column tinydev.user.running_jobs             is 'runs of pg_cron at once';
comment on column tinydev.user.idle_transaction_seconds is 'how long a transaction may be open and idle';
comment on column tinydev.user.sessions                 is 'sessions that are open now in this database, running jobs among them';
comment on column tinydev.user.jobs                     is 'rows of cron.job';
comment on column tinydev.user.token_last_used_at       is 'when one of the user''s tokens was last used, within a minute';
