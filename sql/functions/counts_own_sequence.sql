create or replace function tinydev_lib.counts_own_sequence(default_id oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  -- The sequence is a constant in the only call of nextval, so pg_depend tells which it is.
  select count(*) = 1 and bool_and(s.relowner = c.relowner)
     and bool_and(f.adbin::text ~ (':funcid ' || n.nextval || ' [^{}]*:args [(][{]CONST :consttype ' || 'regclass'::regtype::oid || ' '))
     and bool_and(f.adbin::text !~ (':funcid ' || n.nextval || ' .*:funcid ' || n.nextval || ' '))
    from (select 'nextval(regclass)'::regprocedure::oid as nextval) n
   cross join pg_attrdef f
    join pg_class c on c.oid = f.adrelid
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
   where f.oid = counts_own_sequence.default_id
$$;

comment on function tinydev_lib.counts_own_sequence(oid) is
$$Whether a column's default is what serial makes of it, the next value of a sequence, and the sequence is the table's owner's: not one of
those who write.$$;
