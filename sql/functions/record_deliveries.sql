-- plpgsql keeps the plans from call to call; a generic one does for any number of rows.
create or replace function tinydev_impl.record_deliveries(
  p_subscription_id bigint, p_server_id uuid, p_round integer, p_version bigint, p_position bigint, p_has_open boolean,
  p_positions bigint[], p_lanes text[], p_types text[], p_subjects text[], p_outcomes text[], p_attempted_at timestamptz[],
  p_status_codes integer[], p_latencies_ms integer[], p_errors text[], p_responses text[], p_retry_after_seconds integer[],
  out next_due_seconds double precision, out open_lanes text[], out open_change bigint, out is_current boolean
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'  -- while upkeep drops partitions; the server tries again
set jit = off
set plan_cache_mode = force_generic_plan
-- The plans are made while there are few deliveries or none, and have to be good for millions.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_subscription tinydev_impl.subscription;
  v_delivered    boolean := 'delivered' = any (p_outcomes);
  v_failed       boolean := 'failed' = any (p_outcomes) or 'gone' = any (p_outcomes);
  v_pause        text;
  v_plan         integer[];
  v_after        integer;
  v_due_at       timestamptz;
  v_dead         jsonb;
  v_new          integer;
begin
  -- A user's transaction may hold the row for long. Who waited for it would keep a connection from other subscriptions.
  perform from tinydev_impl.subscription s
   where s.subscription_id = p_subscription_id and s.holder = p_server_id and s.round = p_round for no key update nowait;
  update tinydev_impl.subscription s
     set cursor_position   = case when s.version = p_version then greatest(s.cursor_position, p_position) else s.cursor_position end,
         read_position     = greatest(s.read_position, p_position, (select max(p) from unnest(p_positions) p)),
         last_delivered_at = case when v_delivered then clock_timestamp() else s.last_delivered_at end,
         failing_since     = case when v_delivered then null when v_failed then coalesce(s.failing_since, clock_timestamp()) else s.failing_since end,
         dead_lettered_at  = case when v_delivered then null else s.dead_lettered_at end
   where s.subscription_id = p_subscription_id and s.holder = p_server_id and s.round = p_round
  returning * into v_subscription;
  if not found then
    perform tinydev_lib.fault(409, 'lease_lost', format('another server delivers subscription %s, or it is replayed', p_subscription_id));
  end if;
  is_current := v_subscription.version = p_version;
  v_pause := case when not v_subscription.active then null
                  when 'gone' = any (p_outcomes) then 'gone'
                  when v_failed and v_subscription.failing_since < clock_timestamp() - make_interval(secs => v_subscription.pause_after_seconds) then 'failing' end;
  v_plan := v_subscription.retry_seconds;
  -- One that is paused gives nothing up: it goes on where it stopped.
  v_after := case when v_pause is not null or not v_subscription.active then 2147483 end;
  open_change := 0;

  -- What arrived at the first attempt, and has no row yet, is nearly all.
  insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count, last_attempt_at, status_code, latency_ms, error, response)
  select p_subscription_id, r.position, p_round, r.lane, r.type, r.subject, 'delivered', 1, r.attempted_at, r.status_code, r.latency_ms, r.error, r.response
    from unnest(p_positions, p_lanes, p_types, p_subjects, p_outcomes, p_attempted_at, p_status_codes, p_latencies_ms, p_errors, p_responses)
           as r(position, lane, type, subject, outcome, attempted_at, status_code, latency_ms, error, response)
   where r.outcome = 'delivered'
  on conflict (subscription_id, position) do nothing;
  get diagnostics v_new = row_count;

  if v_new < cardinality(p_positions) then
    with reported as (
      select r.*, d as old, coalesce(d.state, '') in ('pending', 'failing') as is_open, a.is_attempt,
             case when d.round = p_round then d.attempt_count else 0 end + a.is_attempt::integer as made
        from unnest(p_positions, p_lanes, p_types, p_subjects, p_outcomes, p_attempted_at, p_status_codes, p_latencies_ms, p_errors, p_responses, p_retry_after_seconds)
               as r(position, lane, type, subject, outcome, attempted_at, status_code, latency_ms, error, response, retry_after)
        left join tinydev_impl.delivery d on d.subscription_id = p_subscription_id and d.position = r.position
        -- One that is reported once more, because the answer to the first report was lost, does not count again.
       cross join lateral (select r.outcome in ('delivered', 'failed', 'gone') and d.last_attempt_at is distinct from r.attempted_at as is_attempt) a
       where r.outcome <> 'delivered' or d.last_attempt_at is distinct from r.attempted_at
    ), recorded as (
      insert into tinydev_impl.delivery as d (subscription_id, position, round, lane, type, subject, attempt_count, state, next_attempt_at, attempts,
                                              last_attempt_at, status_code, latency_ms, error, response)
      select p_subscription_id, r.position, p_round,
             case when v_subscription.digest_seconds > 0 then '' else r.subject end,  -- p_lanes are those of before a change
             r.type, r.subject, r.made,
             case when r.outcome = 'delivered' then 'delivered'
                  when r.outcome = 'waiting' then case when r.is_open then (r.old).state else 'pending' end
                  when r.outcome = 'withheld' or coalesce(v_plan[r.made], v_after) is null then 'dead'
                  else 'failing' end,
             case when r.outcome in ('failed', 'gone') then tinydev_impl.retry_at(coalesce(v_plan[r.made], v_after), r.retry_after)
                  when r.outcome <> 'waiting' then null
                  when r.is_open then (r.old).next_attempt_at
                  when v_subscription.digest_seconds > 0 then clock_timestamp() + make_interval(secs => v_subscription.digest_seconds) end,
             case when (r.old).last_attempt_at is null then coalesce((r.old).attempts, '[]')  -- those before it was sent once more
                  when r.is_attempt then tinydev_impl.last_of((r.old).attempts || tinydev_lib.last_attempt(r.old), 49)
                  else (r.old).attempts end,
             case when r.is_attempt then r.attempted_at else (r.old).last_attempt_at end,
             case when r.is_attempt then r.status_code else (r.old).status_code end,
             case when r.is_attempt then r.latency_ms else (r.old).latency_ms end,
             case when r.is_attempt or r.outcome = 'withheld' then r.error else (r.old).error end,
             case when r.is_attempt then r.response else (r.old).response end
        from reported r
      on conflict (subscription_id, position) do update
        set round = excluded.round, lane = excluded.lane, attempt_count = excluded.attempt_count, state = excluded.state, next_attempt_at = excluded.next_attempt_at,
            attempts = excluded.attempts, last_attempt_at = excluded.last_attempt_at, status_code = excluded.status_code, latency_ms = excluded.latency_ms,
            error = excluded.error, response = excluded.response
      returning d.*
    )
    select (select to_jsonb(d) from recorded d where d.state = 'dead' order by d.position limit 1),
           (select count(*) from recorded d where d.state in ('pending', 'failing')) - (select count(*) from reported r where r.is_open)
      into v_dead, open_change;
  end if;

  if v_dead is not null and v_subscription.dead_lettered_at is null then
    update tinydev_impl.subscription s set dead_lettered_at = clock_timestamp() where s.subscription_id = p_subscription_id;
    insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
    values ('delivery.dead_lettered', format('%I.%s', v_subscription.role_name, v_subscription.name), v_subscription.role_name, 'tinydev_server',
      jsonb_build_object('delivery_id', v_dead -> 'position', 'type', 'tinydev.' || (v_dead ->> 'type'), 'subject', v_dead -> 'subject',
        'status_code', v_dead -> 'status_code', 'error', v_dead -> 'error'));
  end if;
  if v_pause is not null then
    perform tinydev_impl.pause_subscription(p_subscription_id, v_pause);
  end if;
  if p_has_open or v_failed or 'waiting' = any (p_outcomes) then
    select min(coalesce(h.next_attempt_at, clock_timestamp())) into v_due_at
      from (select distinct on (d.lane) d.next_attempt_at from tinydev_impl.delivery d
             where d.subscription_id = p_subscription_id and d.state in ('pending', 'failing') order by d.lane, d.position) h;
    if v_due_at is not null then
      -- A wait, since the clock of the server that asks may be another.
      next_due_seconds := greatest(date_part('epoch', v_due_at - clock_timestamp()), 0);
    end if;
    open_lanes := array(select distinct l from unnest(p_lanes) l
                         where exists (select from tinydev_impl.delivery d
                                        where d.subscription_id = p_subscription_id and d.lane = l and d.state in ('pending', 'failing')));
  end if;
end $$;

comment on function tinydev_impl.record_deliveries(bigint, uuid, integer, bigint, bigint, boolean, bigint[], text[], text[], text[], text[], timestamptz[],
  integer[], integer[], text[], text[], integer[]) is
$$Writes down how attempts ended, and moves the subscription's cursor to p_position: up to there each event was passed over or has its row.
Where the subscription was changed meanwhile the cursor stays, and is_current is false: what was passed over may fit now.
Outcomes are delivered, failed, gone (the target wants no more), waiting (not tried: an earlier one of its lane is open, or it is collected),
withheld (its owner may not see it, or it is gone). The retry plan decides when a failed one is tried again, or that it is dead.
With p_has_open, or where one is open now, answers in how many seconds the next one is due, null when none is open, and which of p_lanes have
open ones; and by how many the open ones became more. Errors: TD409 lease_lost, 55P03 while a user's transaction holds the subscription: then
nothing is written.$$;
