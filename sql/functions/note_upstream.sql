create or replace function tinydev_impl.note_upstream(p_after bigint, p_to bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  insert into tinydev_impl.upstream_mark (job_id, wave, subject, outcome)
  select s.job_id, e.wave, e.subject, e.outcome
    from (select o.subject, o.subject_id, o.workspace,
                 -- Who owns the subject may write anything there.
                 case when jsonb_typeof(o.data -> 'wave') = 'number' and o.data ->> 'wave' ~ '^[0-9]{1,18}$' then (o.data ->> 'wave')::bigint else o.event_id end as wave,
                 case when o.type in ('view.refreshed', 'table.loaded') then 'done' else 'failed' end as outcome
            from tinydev_impl.event o
           where o.position > p_after and o.position <= p_to
             and (o.type in ('view.refreshed', 'table.loaded')
                  or o.type = 'view.failed' and o.data ->> 'retry_at' is null
                  or o.type = 'view.skipped' and o.data ->> 'reason' = 'upstream_failed')) e
    join tinydev_impl.job_state s on s.after <> '{}' and s.active and e.subject = any (s.after) and e.subject <> s.view
    join pg_roles w on w.rolname = s.owner
   where (e.workspace = s.owner or coalesce(has_table_privilege(w.oid, e.subject_id, 'select'), false))
     -- In a wave each view is refreshed once; so a circle, which commands written in psql can close, ends.
     and not exists (select from tinydev_impl.run r where r.wave = e.wave and r.view = s.view);
  if found then
    perform pg_notify('tinydev_run', '');
  end if;
end $$;

comment on function tinydev_impl.note_upstream(bigint, bigint) is
$$Notes for each job that runs after others what the events at these positions say of those: refreshed or loaded, or failed for good. Only what its owner may
read counts. tinydev_impl.claim_runs makes runs of it.$$;
