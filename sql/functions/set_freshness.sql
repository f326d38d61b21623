create or replace function tinydev.set_freshness(relation text, max_age_seconds integer, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found  record;
  v_answer jsonb;
begin
  select * into v_found from tinydev_lib.find_relation(set_freshness.relation, 'any') f;
  perform tinydev_lib.require_owner(v_found.full_name, v_found.owner);
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'set_freshness', jsonb_build_object('relation', v_found.full_name, 'max_age_seconds', set_freshness.max_age_seconds, 'dry_run', set_freshness.dry_run))
  returning answer into v_answer;
  if set_freshness.dry_run then
    return v_answer;
  end if;
  return (select to_jsonb(f) from tinydev.freshness f where f.relation_id = v_found.relation_id);
end $$;

comment on function tinydev.set_freshness(text, integer, boolean) is
$$Promises that a table or materialized view of yours is never older than max_age_seconds, 1 to 315360000 (ten years), or changes that promise.
A view is as old as its last refresh by tinydev.refresh or a job of ours, a table as its last load; who fills a table in another way tells so:
select tinydev.record_event('table.loaded', 'friends'::regclass, null).
Within some 5 s (a minute where no server runs) of the breach view.stale or table.stale is recorded, once, and view.fresh or table.fresh when it
is over. The promise stays when the relation is renamed or the view replaced, and goes with the relation, and when it gets another owner.
Answers {"relation":"ann.prices","max_age_seconds":3600,"fresh_at":…,"age_seconds":12,"is_stale":false,…} with the columns of
tinydev.freshness; with dry_run {"sql":[…]}.
Example: select tinydev.set_freshness('prices', 3600);
Errors: TD404 relation_not_found; TD403 not_owner; TD422 freshness_invalid, not_a_view for a plain view, name_invalid.$$;

create or replace function tinydev_impl.put_freshness(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off  -- statistics of the log and the inbox are never right
as $$
declare
  v_found record;
  v_age   integer := (p_arguments ->> 'max_age_seconds')::integer;
begin
  v_found := tinydev_impl.own_relation(p_role, p_arguments ->> 'relation');
  if v_age is null or v_age not between 1 and 315360000 then
    perform tinydev_lib.fault(422, 'freshness_invalid', format('max_age_seconds is %s; it has to be 1 to 315360000', coalesce(v_age::text, 'null')),
      format('select tinydev.drop_freshness(%L) takes the promise back', v_found.full_name), '{"field": "max_age_seconds"}');
  end if;
  if (p_arguments ->> 'dry_run')::boolean then
    return tinydev_lib.plan(array[format('select tinydev.set_freshness(%L, %s)', v_found.full_name, v_age)]);
  end if;
  -- Checked at once: what is committed while this transaction lasts may pass the row by.
  insert into tinydev_impl.freshness as f (relation_id, owner_name, max_age_seconds, fresh_at, next_check_at, read_position)
  select v_found.relation_id, p_role, v_age,
         coalesce(greatest(
           (select max(i.occurred_at) from tinydev_impl.inbox i where i.subject_id = v_found.relation_id and i.type = any (tinydev_impl.fresh_types())),
           (select max(l.occurred_at)
              from (select e.occurred_at from tinydev_impl.event e
                     where e.subject = v_found.full_name and e.subject_id = v_found.relation_id and e.type = any (tinydev_impl.fresh_types())
                     order by e.position desc limit 10) l)), clock_timestamp()),
         clock_timestamp(), h.position
    from tinydev_impl.head h
  on conflict (relation_id) do update
     set max_age_seconds = excluded.max_age_seconds, owner_name = excluded.owner_name, next_check_at = excluded.next_check_at,
         promised_at = case when f.owner_name = excluded.owner_name then f.promised_at else excluded.promised_at end;
  perform tinydev_impl.audit('set freshness', v_found.full_name, p_detail => jsonb_build_object('max_age_seconds', v_age));
  return '{}';
end $$;

comment on function tinydev_impl.put_freshness(name, jsonb) is $$What tinydev.set_freshness does, which keeps the row locked until its transaction ends: nobody waits for it.$$;
