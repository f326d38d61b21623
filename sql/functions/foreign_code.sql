create or replace function tinydev_lib.foreign_code(relation_id oid, access text)
returns table (owner oid, code text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_relations oid[];
  v_types     oid[];
  v_trusted   oid[];
begin
  select array_agg(distinct r.id) into v_relations from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r;
  -- Whom to trust is asked once for each owner, not for each object.
  select coalesce(array_agg(r.oid), '{}') into v_trusted from pg_roles r where tinydev_lib.is_trusted(r.oid);

  -- Types: those of the columns, of the rows themselves, and those that an expression makes a value of.
  select array_agg(distinct t.id) into v_types from (
    select a.atttypid as id from pg_attribute a where a.attrelid = any (v_relations) and a.attnum > 0 and not a.attisdropped
    union all
    select c.reltype from pg_class c where c.oid = any (v_relations)
    union all
    select d.refobjid
      from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r
     cross join lateral tinydev_lib.expressions(r.id, r.how) e
      join pg_depend d on d.classid = e.class_id and d.objid = e.object_id and d.refclassid = 'pg_type'::regclass
    union all
    select p.prorettype
      from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r
     cross join lateral tinydev_lib.expressions(r.id, r.how) e
      join pg_depend d on d.classid = e.class_id and d.objid = e.object_id and d.refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = d.refobjid
  ) t where t.id >= 16384;

  return query
    select c.relowner, 'row policy ' || quote_ident(p.polname) || ' on ' || c.oid::regclass
      from pg_class c join pg_policy p on p.polrelid = c.oid
     where c.oid = any (v_relations) and c.relrowsecurity and c.relowner <> all (v_trusted)
    union
    -- Others may be allowed to put triggers on a table that is one's own.
    select case when c.relowner = any (v_trusted) then p.proowner else c.relowner end, format('trigger %I on %s', t.tgname, c.oid::regclass)
      from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r
      join pg_class c on c.oid = r.id join pg_trigger t on t.tgrelid = c.oid join pg_proc p on p.oid = t.tgfoid
     where r.how = 'write' and not t.tgisinternal and t.tgenabled <> 'D' and (c.relowner <> all (v_trusted) or p.proowner <> all (v_trusted))
    union
    select c.relowner, format('rule %I on %s', w.rulename, c.oid::regclass)
      from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r
      join pg_class c on c.oid = r.id join pg_rewrite w on w.ev_class = c.oid
     where r.how = 'write' and w.ev_type <> '1' and c.relowner <> all (v_trusted)
    union
    select case when e.owner = any (v_trusted) then p.proowner else e.owner end,
           format('%I.%I(%s) in %s', n.nspname, p.proname, oidvectortypes(p.proargtypes), e.what)
      from (select x.*, r.how as access
              from tinydev_lib.reached(foreign_code.relation_id, foreign_code.access) r cross join lateral tinydev_lib.expressions(r.id, r.how) x
            union all
            select x.*, foreign_code.access from tinydev_lib.type_expressions(v_types, foreign_code.access) x) e
     cross join lateral tinydev_lib.called_functions(e.class_id, e.object_id, e.tree) f(id)
      join pg_proc p on p.oid = f.id
      join pg_namespace n on n.oid = p.pronamespace
     where case
             -- In one's own query another's function is his code; all else that one wrote is one's own business.
             when e.owner = any (v_trusted) then e.class_id = 'pg_rewrite'::regclass and p.proowner <> all (v_trusted)
             else not tinydev_lib.is_harmless(p.oid, e.access)
                  and not (p.oid = 'nextval(regclass)'::regprocedure and e.class_id = 'pg_attrdef'::regclass
                           and tinydev_lib.counts_own_sequence(e.object_id))
           end;
end $$;

comment on function tinydev_lib.foreign_code(oid, text) is
$$The code of owners you do not trust that would run with your rights if you read a relation, wrote to it ('write') or refreshed it
('refresh'). Looks at the catalogues only: it opens no relation, since PostgreSQL 12 runs the partition key's functions when one is opened.$$;
