create or replace function tinydev_impl.place(p_max_rows integer default 1000, out head bigint, out placed integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off             -- compiling costs 36 ms, placing a few events well under one
set enable_seqscan = off  -- the inbox is nearly empty and its statistics are never right
set plan_cache_mode = force_generic_plan  -- planning anew costs as much as placing
as $$
declare
  v_partition_to bigint;
  v_is_promised  boolean;
  v_is_awaited   boolean;
  v_event_ids    bigint[];
begin
  placed := 0;
  if not exists (select from tinydev_impl.inbox) and not exists (select from tinydev_impl.request r where r.answer ->> 'state' = 'pending') then
    select h.position into head from tinydev_impl.head h;
    return;
  end if;
  select h.position, h.partition_to, exists (select from tinydev_impl.freshness), exists (select from tinydev_impl.job_state s where s.after <> '{}')
    into head, v_partition_to, v_is_promised, v_is_awaited
    from tinydev_impl.head h where h.only_row for update;
  v_event_ids := array(select i.event_id from tinydev_impl.inbox i order by i.event_id limit p_max_rows);
  -- Looked for after the events: what was asked for before one of them was committed is seen, and that event notifies.
  if exists (select from tinydev_impl.request r where r.answer ->> 'state' = 'pending') then
    perform tinydev_impl.make_triggers();
  end if;
  if head + cardinality(v_event_ids) >= v_partition_to then
    perform tinydev_impl.extend_log(head + cardinality(v_event_ids));
  end if;
  with moved as (
    delete from tinydev_impl.inbox i where i.event_id = any (v_event_ids) returning *
  )
  insert into tinydev_impl.event (position, event_id, type, subject, subject_id, workspace, actor, occurred_at, data)
  select head + row_number() over (order by m.event_id), m.event_id, m.type, m.subject, m.subject_id, m.workspace, m.actor, m.occurred_at, m.data
    from moved m;
  get diagnostics placed = row_count;
  head := head + placed;
  if v_is_promised then
    perform tinydev_impl.note_fresh(head - placed, head);
  end if;
  if v_is_awaited then
    perform tinydev_impl.note_upstream(head - placed, head);
  end if;
  update tinydev_impl.head set position = place.head where only_row and placed > 0;
end $$;

comment on function tinydev_impl.place(integer) is
$$Moves up to p_max_rows committed events from the inbox to the end of the log, each with the next dense position.
Makes the triggers before that users asked for. One at a time by a row lock that only the server can take. Cheap when there is nothing to place.$$;
