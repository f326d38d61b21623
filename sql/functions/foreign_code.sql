create or replace function tinydev_lib.foreign_code(relation_id oid, access text)
returns table (owner oid, code text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_trusted oid[];
  v_writers oid[];
begin
  select coalesce(array_agg(r.oid), '{}') into v_trusted from pg_roles r where tinydev_lib.is_trusted(r.oid);
  -- Without superusers and TinyDevCRM, whose functions do what whoever calls them wants.
  select coalesce(array_agg(r.oid), '{}') into v_writers
    from pg_roles r where r.rolname = current_user or exists (select from tinydev.trusted t where t.owner = r.rolname);
  return query
  -- Each step is computed as it stands here: the planner knows nothing of what the functions give and would join before it filters. For
  -- the same reason it takes this for a long query and would compile it, which takes seconds.
  with reached as materialized (
    select r.id, r.how, c.relowner as owner, c.relrowsecurity, c.reltype
      from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r join pg_class c on c.oid = r.id
  ), relation_expressions as materialized (
    select e.*, r.how from reached r cross join lateral tinydev_lib.expressions(r.id, r.how) e
  ), types as materialized (
    -- Those of the columns, of the rows themselves, and those that an expression makes a value of.
    select a.atttypid as id from reached r join pg_attribute a on a.attrelid = r.id where a.attnum > 0 and not a.attisdropped
    union
    select r.reltype from reached r
    union
    select case d.refclassid when 'pg_type'::regclass then d.refobjid else (select p.prorettype from pg_proc p where p.oid = d.refobjid) end
      from relation_expressions e join pg_depend d on d.classid = e.class_id and d.objid = e.object_id
     where d.refclassid in ('pg_type'::regclass, 'pg_proc'::regclass)
  ), all_expressions as materialized (
    select * from relation_expressions
    union all
    select e.*, foreign_code.access
      from tinydev_lib.type_expressions(array(select t.id from types t where t.id >= 16384), foreign_code.access) e
  ), calls as materialized (
    select e.class_id, e.object_id, e.owner, e.what, e.how, f.code_class, f.id, coalesce(p.proowner, o.oprowner) as code_owner,
           case f.code_class when 'pg_proc'::regclass then format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes))
                             else 'operator ' || f.id::regoperator end as code
      from all_expressions e
     cross join lateral tinydev_lib.called_code(e.class_id, e.object_id, e.tree) f
      left join pg_proc p on f.code_class = 'pg_proc'::regclass and p.oid = f.id
      left join pg_operator o on f.code_class = 'pg_operator'::regclass and o.oid = f.id
      join pg_namespace n on n.oid = coalesce(p.pronamespace, o.oprnamespace)
  )
  select case when c.owner = any (v_trusted) and c.code_owner <> all (v_trusted) then c.code_owner else c.owner end, c.code || ' in ' || c.what
    from calls c
   where case
           when c.owner = any (v_trusted) then
             case c.class_id
               -- In one's own query another's function is his code.
               when 'pg_rewrite'::regclass then c.code_owner <> all (v_trusted)
               -- The condition of a trigger may be another's who was allowed to put one on the table.
               when 'pg_trigger'::regclass then c.code_owner <> all (v_writers) and (c.code_class <> 'pg_proc'::regclass or not tinydev_lib.is_harmless(c.id, 'read'))
               -- All else that one wrote is one's own business.
               else false
             end
           when c.id = 'nextval(regclass)'::regprocedure and c.class_id = 'pg_attrdef'::regclass then not tinydev_lib.counts_own_sequence(c.object_id)
           else c.code_class <> 'pg_proc'::regclass or not tinydev_lib.is_harmless(c.id, c.how)
         end
  union
  select r.owner, format('row policy %I on %s', p.polname, r.id::regclass)
    from reached r join pg_policy p on p.polrelid = r.id
   where r.relrowsecurity and r.owner <> all (v_trusted)
  union
  -- Others may be allowed to put triggers on a table that is one's own.
  select case when r.owner = any (v_trusted) then p.proowner else r.owner end, format('trigger %I on %s', t.tgname, r.id::regclass)
    from reached r join pg_trigger t on t.tgrelid = r.id join pg_proc p on p.oid = t.tgfoid
   where r.how = 'write' and not t.tgisinternal and t.tgenabled <> 'D' and (r.owner <> all (v_trusted) or p.proowner <> all (v_trusted))
  union
  select r.owner, format('rule %I on %s', w.rulename, r.id::regclass)
    from reached r join pg_rewrite w on w.ev_class = r.id
   where r.how = 'write' and w.ev_type <> '1' and r.owner <> all (v_trusted);
end $$;

comment on function tinydev_lib.foreign_code(oid, text) is
$$The code of owners you do not trust that would run with your rights if you read a relation, wrote to it ('write') or refreshed it
('refresh'). Looks at the catalogues only: it opens no relation, since PostgreSQL 12 runs the partition key's functions when one is opened.$$;
