create or replace function tinydev_lib.cloud_event(
  "position" bigint, type text, subject text, workspace name, actor name, occurred_at timestamptz, data jsonb, source text
) returns jsonb
language sql stable
as $$
  select tinydev_lib.cloud_event_text("position", type, subject, workspace, actor, occurred_at, data, source)::pg_catalog.jsonb
$$;

comment on function tinydev_lib.cloud_event(bigint, text, text, name, name, timestamptz, jsonb, text) is
$$An event as tinydev_lib.cloud_event_text writes it, as jsonb.$$;
