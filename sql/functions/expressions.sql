create or replace function tinydev_lib.expressions(relation_id oid, access text)
returns table (class_id oid, object_id oid, owner oid, what text, tree text)
language sql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
  with recursive parents(id) as (
    select expressions.relation_id
    union
    select i.inhparent from parents p join pg_class c on c.oid = p.id and c.relispartition join pg_inherits i on i.inhrelid = p.id
  )
  select 'pg_rewrite'::regclass::oid, w.oid, c.relowner, case when c.relpersistence = 't' then 'the query' else 'view ' || c.oid::regclass end, w.ev_action::text
    from pg_class c join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
   where c.oid = expressions.relation_id and (c.relkind = 'v' or expressions.access = 'refresh')
  union all
  select 'pg_attrdef'::regclass, f.oid, c.relowner, format('column %s.%I', c.oid::regclass, a.attname), f.adbin::text
    from pg_class c join pg_attrdef f on f.adrelid = c.oid join pg_attribute a on a.attrelid = c.oid and a.attnum = f.adnum
   where c.oid = expressions.relation_id and (expressions.access = 'write' or a.attgenerated = 'v')
  union all
  select 'pg_trigger'::regclass, t.oid, c.relowner, format('the condition of trigger %I on %s', t.tgname, c.oid::regclass), t.tgqual::text
    from pg_class c join pg_trigger t on t.tgrelid = c.oid
   where c.oid = expressions.relation_id and expressions.access = 'write' and t.tgqual is not null and t.tgenabled <> 'D'
  union all
  -- The planner computes the constant parts of these for whoever reads the table.
  select 'pg_constraint'::regclass, k.oid, c.relowner, format('constraint %I on %s', k.conname, c.oid::regclass), k.conbin::text
    from pg_class c join pg_constraint k on k.conrelid = c.oid and k.contype in ('c', 'x')
   where c.oid = expressions.relation_id
  union all
  select 'pg_class'::regclass, i.indexrelid, c.relowner, 'index ' || i.indexrelid::regclass, concat(i.indexprs::text, i.indpred::text)
    from pg_class c join pg_index i on i.indrelid = c.oid
   where c.oid = expressions.relation_id
  union all
  -- Before PostgreSQL 14 there is no column stxexprs.
  select 'pg_statistic_ext'::regclass, s.oid, c.relowner, format('statistics %s', s.stxname), to_jsonb(s) ->> 'stxexprs'
    from pg_class c join pg_statistic_ext s on s.stxrelid = c.oid
   where c.oid = expressions.relation_id
  union all
  select 'pg_class'::regclass, k.partrelid, c.relowner, 'partition key of ' || c.oid::regclass, k.partexprs::text
    from parents p join pg_partitioned_table k on k.partrelid = p.id join pg_class c on c.oid = p.id
$$;

comment on function tinydev_lib.expressions(oid, text) is
$$The expressions that PostgreSQL may compute when a relation is read, written to or refreshed, with the object that each belongs to.$$;
