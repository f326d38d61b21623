create or replace function tinydev_impl.freshness_data(p_max_age_seconds integer, p_fresh_at timestamptz, p_stale_since timestamptz, p_now timestamptz) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('max_age_seconds', p_max_age_seconds, 'age_seconds', greatest(floor(date_part('epoch', p_now - p_fresh_at)), 0)::bigint,
    'fresh_at', to_char(p_fresh_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'stale_since', to_char(p_stale_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
$$;

comment on function tinydev_impl.freshness_data(integer, timestamptz, timestamptz, timestamptz) is 'The data of view.stale, view.fresh, table.stale and table.fresh.';
