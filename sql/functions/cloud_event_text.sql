-- No SET clause, so that PostgreSQL inlines it; written as text, because building jsonb and printing it takes three times as long.
create or replace function tinydev_lib.cloud_event_text(
  "position" bigint, type text, subject text, workspace name, actor name, occurred_at timestamptz, data jsonb, source text
) returns text
language sql stable
as $$
  select pg_catalog.concat('{"specversion":"1.0","id":"', "position", '","source":"', source, '","type":"tinydev.', type,
    '","subject":', pg_catalog.to_json(subject), ',"time":"', pg_catalog.to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    '","datacontenttype":"application/json","workspace":', pg_catalog.to_json(workspace::text), ',"actor":', pg_catalog.to_json(actor::text), ',"data":', data, '}')
$$;

comment on function tinydev_lib.cloud_event_text(bigint, text, text, name, name, timestamptz, jsonb, text) is
$$An event in the shape in which it leaves: CloudEvents 1.0 JSON, with the position as its id. type and source hold nothing that JSON escapes.$$;
