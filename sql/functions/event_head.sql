create or replace function tinydev.event_head(out head bigint, out oldest bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select h.position, coalesce((select min(p.position_from) from tinydev_impl.event_partition p), 1) from tinydev_impl.head h where h.only_row
$$;

comment on function tinydev.event_head() is
$$The position of the newest event (0 when there was none), and the oldest that may still be there.$$;
