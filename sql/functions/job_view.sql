create or replace function tinydev.job_view(command text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select replace((regexp_match(command, '^call tinydev\.refresh\(''((?:[^'']|'''')+)'''))[1], '''''', '''') $$;

comment on function tinydev.job_view(text) is
$$The view that a command of cron.job refreshes, as workspace.name; null for a command that tinydev.schedule did not write.$$;
