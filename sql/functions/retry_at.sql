create or replace function tinydev_impl.retry_at(p_seconds integer, p_retry_after_seconds integer) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
  select case when p_seconds is not null then clock_timestamp()
    + make_interval(secs => greatest(p_seconds * (0.9 + 0.2 * random()), least(coalesce(p_retry_after_seconds, 0), 86400))) end
$$;

comment on function tinydev_impl.retry_at(integer, integer) is
$$When to try again: after the wait of the plan, give or take a tenth, so that many do not come at once, and not before the target asked for.$$;

create or replace function tinydev_impl.last_of(p_list jsonb, p_count integer) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_array_length(p_list) <= p_count then p_list
              else (select jsonb_agg(e.value order by e.n) from jsonb_array_elements(p_list) with ordinality e(value, n) where e.n > jsonb_array_length(p_list) - p_count) end
$$;

comment on function tinydev_impl.last_of(jsonb, integer) is 'The last elements of an array.';
