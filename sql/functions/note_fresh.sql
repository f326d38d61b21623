create or replace function tinydev_impl.note_fresh(p_after bigint, p_to bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  update tinydev_impl.freshness f
     set fresh_at = n.at, next_check_at = case when f.stale_since is null then f.next_check_at else clock_timestamp() end
    from (
      select l.relation_id, e.at
        from (select v.subject_id, max(v.occurred_at) as at from tinydev_impl.event v
               where v.position > p_after and v.position <= p_to and v.type = any (tinydev_impl.fresh_types()) group by v.subject_id) e
        join tinydev_impl.freshness l on l.relation_id = e.subject_id and l.fresh_at < e.at
         for update of l skip locked
    ) n
   where f.relation_id = n.relation_id;
end $$;

comment on function tinydev_impl.note_fresh(bigint, bigint) is
$$Enters into the promises what the events at these positions made fresh; those that are stale are checked next. It waits for nobody, since a user's
transaction may hold a promise for long: tinydev_impl.check_freshness reads what passed such a one by.$$;
