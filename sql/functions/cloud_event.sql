create or replace function tinydev_lib.cloud_event(
  "position" bigint, type text, subject text, workspace name, actor name, occurred_at timestamptz, data jsonb, source text
) returns jsonb
language sql stable
as $$
  select pg_catalog.jsonb_build_object(
    'specversion', '1.0', 'id', "position"::text, 'source', source, 'type', 'tinydev.' operator(pg_catalog.||) type, 'subject', subject,
    'time', pg_catalog.to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'datacontenttype', 'application/json', 'workspace', workspace, 'actor', actor, 'data', data)
$$;

comment on function tinydev_lib.cloud_event(bigint, text, text, name, name, timestamptz, jsonb, text) is
$$An event in the shape in which it leaves: CloudEvents 1.0 JSON, with the position as its id.$$;
