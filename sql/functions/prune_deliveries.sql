create or replace function tinydev_impl.prune_deliveries(p_max_rows integer default 10000) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
set enable_seqscan = off
as $$
declare
  v_old_to bigint := tinydev_impl.position_at(clock_timestamp() - (select i.delivery_retention from tinydev_impl.instance i));
  v_next   record;
  v_count  integer := 0;
  v_batch  integer;
begin
  for v_next in
    with recursive ids(id) as (
      select min(d.subscription_id) from tinydev_impl.delivery d
      union all
      select (select min(d.subscription_id) from tinydev_impl.delivery d where d.subscription_id > i.id) from ids i where i.id is not null
    )
    select i.id, exists (select from tinydev_impl.subscription s where s.subscription_id = i.id) as is_there from ids i where i.id is not null
  loop
    -- Of one that was dropped all go.
    delete from tinydev_impl.delivery d
     where d.subscription_id = v_next.id
       and d.position in (select o.position from tinydev_impl.delivery o
                           where o.subscription_id = v_next.id and (not v_next.is_there or o.position <= v_old_to and o.state = 'delivered')
                           order by o.position limit p_max_rows - v_count);
    get diagnostics v_batch = row_count;
    v_count := v_count + v_batch;
    exit when v_count >= p_max_rows;
  end loop;
  return v_count;
end $$;

comment on function tinydev_impl.prune_deliveries(integer) is
$$Removes up to p_max_rows deliveries that arrived longer ago than their retention, or whose subscription was dropped, and tells how many.$$;
