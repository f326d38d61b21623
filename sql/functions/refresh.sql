-- A procedure with a SET clause or SECURITY DEFINER may not COMMIT, so it has neither and names everything in full.
create or replace procedure tinydev.refresh(
  view text, cause text default 'manual', every_seconds integer default null, schedule text default null, time_zone text default null,
  overlap text default null, missed text default null, timeout_seconds integer default null, retries integer default null, after text default null,
  track_changes text default 'none', wave boolean default false
)
language plpgsql
as $$
declare
  v_is_wave    boolean := view is null and schedule is not null;  -- tinydev.refresh_wave
  v_member     tinydev_lib.wave_member := row(view, timeout_seconds, track_changes, false)::tinydev_lib.wave_member;
  v_waited     integer := 0;  -- times 20 ms that no member of the wave could be had
  v_view       tinydev_lib.refreshable;
  v_run        record;
  v_name       text;
  v_message    text;
  v_can_commit boolean;
  v_start      timestamptz;
  v_end        timestamptz := pg_catalog.date_trunc('minute', pg_catalog.clock_timestamp()) operator(pg_catalog.+) interval '1 minute';
  v_turn       timestamptz;
  v_rows       bigint;
  v_inserted   bigint;
  v_deleted    bigint;
  v_changes    jsonb;
  v_data       jsonb;
  v_failed     boolean;
  v_state      text;
  v_detail     text;
  v_hint       text;
  v_code       text;
begin
  if cause not in ('manual', 'schedule', 'upstream', 'retry', 'missed') or cause is null then
    perform tinydev_lib.fault(422, 'cause_invalid', pg_catalog.format('%L is not a cause', cause), 'manual, schedule, upstream, retry or missed');
  end if;
  if track_changes operator(pg_catalog.<>) all (array['none', 'counts', 'keys', 'rows']) or track_changes is null then
    perform tinydev_lib.fault(422, 'track_changes_invalid', pg_catalog.format('%L is not a way to track changes', track_changes), 'none, counts, keys or rows');
  end if;
  -- Both answers are errors; inside a transaction of the caller's the words differ.
  begin
    commit;
  exception when invalid_transaction_termination then
    get stacked diagnostics v_message = message_text;
  end;
  v_can_commit := v_message operator(pg_catalog.<>) tinydev_lib.atomic_message();
  if (every_seconds is not null or v_is_wave) and not v_can_commit then
    perform tinydev_lib.fault(422, 'transaction_open', 'a repeated refresh, or a wave, cannot run inside a transaction', 'call it on its own');
  end if;
  if v_is_wave then
    perform tinydev_lib.plan_wave(schedule, time_zone);
    commit;
  end if;

  loop
    if v_is_wave then
      v_member := tinydev_lib.next_in_wave(schedule, time_zone);
      exit when v_member.view is null and (not v_member.waits or v_waited operator(pg_catalog.>=) 3000);
      if v_member.view is null then
        commit;
        perform pg_catalog.pg_sleep(0.02);
        v_waited := v_waited operator(pg_catalog.+) 1;
        continue;
      end if;
      v_waited := 0;
    end if;
    v_start := pg_catalog.clock_timestamp();
    v_view := null;
    v_name := null;
    v_failed := false;
    v_code := null;
    begin
      v_view := tinydev_lib.find_refreshable(v_member.view);
      v_name := v_view.full_name;
    exception when others then
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
      v_failed := true;
    end;
    -- A view that is gone from its own workspace is news; what is not the caller's, or no view, is not.
    if v_failed and v_state operator(pg_catalog.=) 'TD404' then
      select pg_catalog.format('%I.%I', p.workspace, p.relation) into v_name from tinydev_lib.parse_name(v_member.view) p where p.workspace operator(pg_catalog.=) current_user and current_user operator(pg_catalog.=) session_user;
    end if;
    if v_is_wave and v_name is null then
      commit;
      continue;
    end if;
    exit when v_name is null;

    insert into tinydev_lib.own_run as r (owner, view, view_id, cause, timeout_seconds) values (current_user, v_name, v_view.view_id, case when v_is_wave then 'wave' else cause end, v_member.timeout_seconds)
    returning r.run_id, r.status, r.cause, r.told into v_run;
    if v_is_wave and v_run.status operator(pg_catalog.<>) 'running' then
      commit;
      continue;
    end if;
    exit when v_run.status operator(pg_catalog.<>) 'running';
    if v_can_commit then
      -- That it runs may be forgotten by a crash, which ends it.
      perform pg_catalog.set_config('synchronous_commit', 'off', true);
      commit;
    end if;

    if not v_failed then
      begin
        if v_view.reads_others then
          perform tinydev_lib.require_data(v_view.view_id, 'refresh');
        end if;
        v_inserted := -pg_catalog.pg_stat_get_xact_tuples_inserted(v_view.view_id);
        v_deleted := -pg_catalog.pg_stat_get_xact_tuples_deleted(v_view.view_id);
        v_changes := case when v_member.track_changes operator(pg_catalog.=) 'none' then '{}' else '{"added": null, "removed": null, "updated": null}' end;
        if v_view.is_concurrent and v_member.track_changes operator(pg_catalog.<>) 'none' then
          v_changes := v_changes operator(pg_catalog.||) tinydev_lib.refresh_tracked(v_view.view_id, v_view.full_name, v_member.track_changes);
        else
          execute pg_catalog.format('refresh materialized view %s%s', case when v_view.is_concurrent then 'concurrently ' end, v_view.full_name);
        end if;
        v_inserted := v_inserted operator(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_inserted(v_view.view_id);
        v_deleted := v_deleted operator(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(v_view.view_id);
        -- REFRESH reports no row count before PostgreSQL 18, but a plain one counts all rows as inserted. None are counted by
        -- track_counts = off.
        v_rows := v_inserted;
        if v_view.is_concurrent or v_rows operator(pg_catalog.=) 0 then
          execute pg_catalog.format('select pg_catalog.count(*) from %s', v_view.full_name) into v_rows;
        end if;
        if not v_view.is_concurrent or pg_catalog.current_setting('track_counts') operator(pg_catalog.=) 'off' then
          v_inserted := null;
          v_deleted := null;
        end if;
        v_data := pg_catalog.jsonb_build_object(
          'rows', v_rows, 'bytes', pg_catalog.pg_relation_size(v_view.view_id), 'duration_ms', tinydev_lib.milliseconds_since(v_start), 'cause', v_run.cause,
          'concurrently', v_view.is_concurrent, 'readers_blocked', v_view.is_populated and not v_view.is_concurrent, 'inserted', v_inserted, 'deleted', v_deleted,
          'changed', (v_inserted operator(pg_catalog.+) v_deleted) operator(pg_catalog.>) 0)
          operator(pg_catalog.||) v_changes operator(pg_catalog.||) v_run.told;
        perform tinydev.record_event('view.refreshed', v_view.view_id, v_view.full_name, v_data);
        -- For the caller in this session: a procedure that returned it could not be called from DO.
        perform pg_catalog.set_config('tinydev.last_refresh', v_data::text, false);
      -- "others" leaves these two out.
      exception when query_canceled or assert_failure or others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
        v_failed := true;
      end;
    end if;

    if v_failed and v_can_commit then
      v_code := tinydev_lib.fault_code(v_state, v_detail);
      if v_state operator(pg_catalog.=) '57014' then
        select o.code, coalesce(o.message, v_message) into v_code, v_message from tinydev_lib.why_cancelled(v_run.run_id) o;
      end if;
      perform tinydev_lib.record_failure(v_member.view, v_view.view_id, pg_catalog.jsonb_build_object(
        'sqlstate', v_state, 'code', v_code, 'message', pg_catalog.left(v_message, 4000), 'detail', nullif(pg_catalog.left(v_detail, 4000), ''), 'cause', v_run.cause,
        'duration_ms', tinydev_lib.milliseconds_since(v_start)) operator(pg_catalog.||) v_run.told);
      commit;
    end if;
    if v_is_wave then
      -- The log of events is flushed by who places them, and what a crash takes back is due again.
      perform pg_catalog.set_config('synchronous_commit', 'off', true);
      commit;
      exit when v_failed and v_state operator(pg_catalog.=) '57014' and v_code is null;
      continue;
    end if;
    exit when every_seconds is null or v_state = '57014';

    commit;
    -- Turns are multiples of the interval since 1970, so that one minute's run follows on the last one's.
    v_turn := pg_catalog.to_timestamp((pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog./) every_seconds)
      operator(pg_catalog.+) 1) operator(pg_catalog.*) every_seconds);
    exit when v_turn operator(pg_catalog.>=) v_end;
    perform pg_catalog.pg_sleep(pg_catalog.date_part('epoch', v_turn operator(pg_catalog.-) pg_catalog.clock_timestamp()));
    exit when not tinydev_lib.is_scheduled(view, every_seconds);
  end loop;

  if v_state is not null then
    perform tinydev_lib.raise(v_state, v_message, v_detail, v_hint);
  end if;
end $$;

comment on procedure tinydev.refresh(text, text, integer, text, text, text, text, integer, integer, text, text, boolean) is
$$Refreshes a materialized view of yours and records view.refreshed in the same transaction, with rows, bytes, duration_ms and cause.
CONCURRENTLY is used when the view is populated and has a unique index on plain columns, so that readers are not blocked; the event
then also says how many rows were inserted and deleted. On error: records view.failed, commits, and raises the original error.
Inside a transaction of yours it cannot commit, so a failure is raised but leaves no event.
track_changes: counts has the event tell how many rows were added, removed and updated, by the key of the unique index; keys tells their keys too, and rows
the rows before and after, up to 100 of each and 64 KiB in all, which only the owner and who may select from the view see. Null where not known: without a
unique index, at the first refresh, and when another refresh came in between.
timeout_seconds ends it when it takes longer, as long as a server runs. The other arguments are those of jobs, see tinydev.schedule: schedule and time_zone tell whether a run
that pg_cron starts has anything to do; every_seconds repeats it until the minute is over, for a pg_cron older than 1.5, and a failed turn is recorded and raised at the end.
Afterwards current_setting('tinydev.last_refresh') holds the event's data.
Example: call tinydev.refresh('bdays_today');
Errors: TD404 view_not_found; TD403 not_owner, foreign_code; TD422 not_a_view, transaction_open, track_changes_invalid; whatever the view's query raises.$$;
