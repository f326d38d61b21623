create or replace function tinydev.lineage(relation text default null) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  v_id     oid;
  v_name   text;
  v_owner  name;
  v_answer jsonb;
begin
  if lineage.relation is not null then
    select f.relation_id, f.full_name, f.owner into v_id, v_name, v_owner from tinydev_lib.find_relation(lineage.relation, 'any') f;
    v_id := coalesce(pg_partition_root(v_id), v_id);
  end if;
  with recursive relation as materialized (
    -- Those of tinydev.relation, which would have to open each for its size. Each step is computed as it stands here: the planner knows
    -- nothing of what the functions give.
    select c.oid as id, n.nspname as workspace, format('%I.%I', n.nspname, c.relname) as name, pg_get_userbyid(c.relowner) as owner, c.relispopulated as is_populated,
           case c.relkind when 'm' then 'view' when 'v' then 'plain_view' else 'table' end as kind
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'f', 'v', 'm') and not c.relispartition
       and n.nspname not in ('pg_catalog', 'information_schema', 'cron', 'tinydev', 'tinydev_lib', 'tinydev_impl') and n.nspname not like E'pg\\_%'
       and (pg_get_userbyid(c.relowner) = current_user or has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))
  ), read as materialized (
    select e.* from tinydev_lib.read_edges(array(select r.id from relation r)) e
  ), called as materialized (
    select p.oid as id, format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) as name, pg_get_userbyid(p.proowner) as owner,
           tinydev_lib.hides_reads(p.oid) as hides_reads,
           pg_get_userbyid(p.proowner) = current_user or has_function_privilege(p.oid, 'execute') and has_schema_privilege(n.oid, 'usage') as is_visible
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.oid in (select e.id from read e where e.class_id = 'pg_proc'::regclass)
  ), object as materialized (
    select 'pg_class'::regclass::oid as class_id, r.id, r.kind || ':' || r.name as node from relation r
    union all
    select 'pg_proc'::regclass, c.id, 'function:' || c.name from called c where c.is_visible
  ), hidden as (
    -- What PostgreSQL and TinyDevCRM keep themselves is nothing that is hidden.
    select e.reader_class, e.reader, count(*) as count
      from read e
      left join object o on o.class_id = e.class_id and o.id = e.id
      left join pg_class c on e.class_id = 'pg_class'::regclass and c.oid = e.id
      left join pg_namespace n on n.oid = c.relnamespace
     where o.id is null and not coalesce(n.nspname in ('information_schema', 'cron', 'tinydev', 'tinydev_lib', 'tinydev_impl') or n.nspname like E'pg\\_%', false)
     group by e.reader_class, e.reader
  ), reached(view, class_id, id) as (
    select r.id, 'pg_class'::regclass::oid, r.id from relation r where r.kind <> 'table'
    union
    select f.view, e.class_id, e.id
      from reached f
      join read e on e.reader_class = f.class_id and e.reader = f.id
      left join pg_class c on e.class_id = 'pg_class'::regclass and c.oid = e.id
     where c.relkind is distinct from 'm'
  ), unknown as materialized (
    select distinct f.view from reached f join called c on f.class_id = 'pg_proc'::regclass and c.id = f.id where c.hides_reads
  ), job as materialized (
    select j.* from tinydev.job j where j.is_managed
  ), teller as materialized (
    -- What tells of events, with what decides of which relations it may get some.
    select t.*, w.oid as owner_id, pg_has_role(w.oid, 'tinydev_admin', 'member') as sees_all, tinydev_lib.globs(case t.kind when 'delivers' then t.names end) as patterns,
           tinydev_lib.types_fit(t.types, 'table') as of_tables, tinydev_lib.types_fit(t.types, 'view') as of_views
      from (
        select 'trigger:' || format('%I.%I', t.owner, t.name) as node, 'wakes' as kind, t.owner, case when t.view is null then t.owner end as workspace,
               case when t.view is not null then array[t.view] end as names, t.types
          from tinydev.trigger t where t.state <> 'failed'
        union all
        select 'subscription:' || format('%I.%I', s.owner, s.name), 'delivers', s.owner, null, s.subjects, s.types
          from tinydev.subscription s
      ) t
      join pg_roles w on w.rolname = t.owner
  ), told as (
    select r.kind || ':' || r.name as "from", t.node as "to", t.kind
      from teller t
      join relation r on case r.kind when 'table' then t.of_tables else t.of_views end
                     and (t.workspace is null or r.workspace = t.workspace)
                     -- Nothing happens to a plain view by itself, so that only who names it means it.
                     and (t.names is null and r.kind <> 'plain_view' or r.name = any (t.names) or r.kind <> 'plain_view' and r.name like any (t.patterns))
     where r.workspace = t.owner or t.sees_all or has_table_privilege(t.owner_id, r.id, 'select')
  ), edge as materialized (
    select s.node as "from", o.node as "to", case e.class_id when 'pg_proc'::regclass then 'calls' else 'reads' end as kind
      from read e
      join object s on s.class_id = e.class_id and s.id = e.id
      join object o on o.class_id = e.reader_class and o.id = e.reader
    union
    select 'job:' || j.job_id, r.kind || ':' || r.name, 'refreshes' from job j join relation r on r.name = j.view
    union
    select r.kind || ':' || r.name, 'job:' || j.job_id, 'starts' from job j join relation r on r.name = any (j.after)
    union
    select * from told
  ), node as materialized (
    select o.node as id, r.kind, r.name, jsonb_build_object('owner', r.owner,
             'populated', case r.kind when 'view' then r.is_populated end,
             'known', case when r.kind <> 'table' then u.view is null end,
             'hidden', h.count) as detail
      from relation r
      join object o on o.class_id = 'pg_class'::regclass and o.id = r.id
      left join unknown u on u.view = r.id
      left join hidden h on h.reader_class = 'pg_class'::regclass and h.reader = r.id
    union all
    select o.node, 'function', c.name, jsonb_build_object('owner', c.owner, 'known', not c.hides_reads, 'hidden', h.count)
      from called c
      join object o on o.class_id = 'pg_proc'::regclass and o.id = c.id
      left join hidden h on h.reader_class = 'pg_proc'::regclass and h.reader = c.id
    union all
    select distinct on (j.job_id) 'job:' || j.job_id, 'job', j.name,
           jsonb_build_object('owner', j.owner, 'job_id', j.job_id, 'schedule', j.schedule, 'time_zone', j.time_zone, 'active', j.active)
      from job j
    union all
    select distinct on (t.owner, t.name) 'trigger:' || format('%I.%I', t.owner, t.name), 'trigger', t.owner || '.' || t.name,
           jsonb_build_object('owner', t.owner, 'channel', t.channel, 'active', t.state <> 'failed', 'types', t.types)
      from tinydev.trigger t
    union all
    select 'subscription:' || format('%I.%I', s.owner, s.name), 'subscription', s.owner || '.' || s.name,
           jsonb_build_object('owner', s.owner, 'sends', s.kind, 'active', s.active, 'types', s.types, 'subjects', s.subjects)
      from tinydev.subscription s
  ), root as (
    select o.node as id from object o where o.class_id = 'pg_class'::regclass and o.id = v_id
  ), upstream(id) as (
    select r.id from root r
    union
    select e."from" from upstream u join edge e on e."to" = u.id and e.kind in ('reads', 'calls')
  ), downstream(id) as (
    select r.id from root r
    union
    select e."to" from downstream d join edge e on e."from" = d.id
  ), around as (
    select u.id from upstream u union select d.id from downstream d
  ), wanted as materialized (
    select n.* from node n
     where v_id is null
        or n.id in (select a.id from around a)
        or n.id in (select e."from" from edge e where e.kind = 'refreshes' and e."to" in (select a.id from around a))
  )
  select jsonb_build_object(
           'nodes', (select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'kind', w.kind, 'name', w.name) || jsonb_strip_nulls(w.detail)
                                               order by array_position(array['table', 'function', 'plain_view', 'view', 'job', 'trigger', 'subscription'], w.kind), w.name collate "C"), '[]')
                       from wanted w),
           'edges', (select coalesce(jsonb_agg(jsonb_build_object('from', e."from", 'to', e."to", 'kind', e.kind) order by e."from" collate "C", e."to" collate "C"), '[]')
                       from edge e where e."from" in (select w.id from wanted w) and e."to" in (select w.id from wanted w)))
    into v_answer;
  if v_id is not null and v_answer -> 'nodes' = '[]' then
    perform tinydev_lib.fault(403, 'not_readable', format('you may not read %s', v_name), format('ask %I to share it', v_owner));
  end if;
  return v_answer;
end $$;

comment on function tinydev.lineage(text) is
$$What comes from what: tables, views and the functions that they call, the jobs that refresh views, and the triggers and subscriptions that hear of them:
{"nodes":[{"id":"table:ann.prices","kind":"table","name":"ann.prices",…}],"edges":[{"from":"table:ann.prices","to":"view:ann.daily","kind":"reads"},…]}.
Kinds of nodes are table, view (materialized), plain_view, function, job, trigger and subscription. An edge leads to where a change goes on:
what it reads or calls → view, job → the view that it refreshes, relation → the job that runs after it (starts), the trigger that it wakes, the subscription that it delivers to.
With a relation only what it is made of and what comes of it. Only what you may see is told; hidden counts what else a view or function reads
or calls, and known is false where a function hides what it reads (plpgsql, or SQL given as text).
Example: select jsonb_pretty(tinydev.lineage('prices'));
Errors: TD404 relation_not_found; TD403 not_readable; TD422 name_invalid.$$;
