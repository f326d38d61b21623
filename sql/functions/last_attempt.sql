create or replace function tinydev_lib.last_attempt(p_delivery tinydev_impl.delivery) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case when p_delivery.last_attempt_at is not null then jsonb_build_array(jsonb_build_object(
    'at', p_delivery.last_attempt_at, 'delivered', p_delivery.state = 'delivered', 'status_code', p_delivery.status_code, 'latency_ms', p_delivery.latency_ms,
    'error', p_delivery.error, 'response', p_delivery.response, 'next_attempt_at', p_delivery.next_attempt_at)) end
$$;

comment on function tinydev_lib.last_attempt(tinydev_impl.delivery) is
$$The last attempt of a delivery as one element of its attempts; null before the first.$$;
