create or replace function tinydev_impl.check_freshness(p_max_rows integer default 1000) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off  -- statistics are of when there was nothing, or all was due
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ids oid[];
begin
  v_ids := array(select f.relation_id from tinydev_impl.freshness f where f.next_check_at <= v_now order by f.next_check_at limit p_max_rows for update skip locked);
  if cardinality(v_ids) = 0 then
    return 0;
  end if;
  delete from tinydev_impl.freshness f
   where f.relation_id = any (v_ids) and not exists (select from pg_class c where c.oid = f.relation_id and pg_get_userbyid(c.relowner) = f.owner_name);
  -- One snapshot sees an event either in the inbox or in the log.
  with arrived as materialized (
    select i.subject_id, max(i.occurred_at) as at from tinydev_impl.inbox i
     where i.subject_id = any (v_ids) and i.type = any (tinydev_impl.fresh_types()) group by i.subject_id
  ), seen as materialized (
    select f.relation_id, f.max_age_seconds, f.stale_since, n.nspname, c.relkind, s.name, h.position, greatest(f.fresh_at, a.at, l.at) as fresh_at
      from tinydev_impl.freshness f
     cross join tinydev_impl.head h
      join pg_class c on c.oid = f.relation_id
      join pg_namespace n on n.oid = c.relnamespace
     -- Names compare byte by byte, and what is made of them would; the index of the log does not.
     cross join lateral (select format('%I.%I', n.nspname, c.relname) collate "default" as name) s
      left join arrived a on a.subject_id = f.relation_id
      left join lateral (
        select max(e.occurred_at) as at from tinydev_impl.event e
         -- As a pair, so that only the index of subjects fits: by position alone it would read all that happened to others.
         where e.subject = s.name and (e.subject, e.position) > (s.name, f.read_position)
           and e.subject_id = f.relation_id and e.type = any (tinydev_impl.fresh_types())
      ) l on true
     where f.relation_id = any (v_ids)
  ), judged as materialized (
    select s.*, d.due_at, d.due_at <= v_now as is_stale
      from seen s cross join lateral (select s.fresh_at + make_interval(secs => s.max_age_seconds) as due_at) d
  ), changed as (
    -- A stale one is looked at each minute, in case that what made it fresh passed it by.
    update tinydev_impl.freshness f
       set fresh_at = j.fresh_at, read_position = j.position, stale_since = case when j.is_stale then coalesce(j.stale_since, j.due_at) end,
           next_check_at = case when j.is_stale then v_now + interval '1 minute' else j.due_at end
      from judged j where f.relation_id = j.relation_id
  )
  insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
  select case when j.relkind = 'm' then case when j.is_stale then 'view.stale' else 'view.fresh' end
              else case when j.is_stale then 'table.stale' else 'table.fresh' end end,
         j.name, j.relation_id, j.nspname, 'tinydev_server',
         tinydev_impl.freshness_data(j.max_age_seconds, j.fresh_at, coalesce(j.stale_since, j.due_at), v_now)
    from judged j where j.is_stale <> (j.stale_since is not null) order by j.due_at;
  return cardinality(v_ids);
end $$;

comment on function tinydev_impl.check_freshness(integer) is
$$Looks at up to p_max_rows promises that are due, and records each breach and each recovery once, in the transaction that marks the promise:
any number may check at once, each takes what the others do not hold. Returns how many were due: p_max_rows is a reason to come again. Nothing
is done for those that are not due. The server calls it every 5 s, the system's job each minute.$$;
