create or replace function tinydev_lib.finding_subject(workspace name, check_name text, subject text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when finding_subject.workspace = 'tinydev_server' then 'tinydev_server.' || finding_subject.check_name
              when finding_subject.subject like '%.%' then finding_subject.subject
              else format('%I.%s', finding_subject.workspace, replace(finding_subject.subject, ' ', '_')) end
$$;

comment on function tinydev_lib.finding_subject(name, text, text) is 'The subject of an event about a finding: workspace.name.';
