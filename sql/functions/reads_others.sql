create or replace function tinydev_lib.reads_others(view_id oid) returns boolean
language sql stable
as $$
  select exists (
    select from pg_catalog.pg_rewrite w
      join pg_catalog.pg_class v on v.oid operator(pg_catalog.=) w.ev_class
      join pg_catalog.pg_depend d on d.classid operator(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid operator(pg_catalog.=) w.oid
     where w.ev_class operator(pg_catalog.=) reads_others.view_id and d.refobjid operator(pg_catalog.<>) w.ev_class
       and case d.refclassid
             when 'pg_catalog.pg_class'::pg_catalog.regclass then not exists (
               select from pg_catalog.pg_class c
                where c.oid operator(pg_catalog.=) d.refobjid and c.relowner operator(pg_catalog.=) v.relowner
                  and c.relkind in ('r', 'm') and not c.relhassubclass and not c.relispartition
                  and not exists (select from pg_catalog.pg_depend t
                                   where t.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass and t.objid operator(pg_catalog.=) c.oid
                                     and t.refclassid operator(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass))
             when 'pg_catalog.pg_proc'::pg_catalog.regclass then not exists (
               select from pg_catalog.pg_proc p where p.oid operator(pg_catalog.=) d.refobjid and p.proowner operator(pg_catalog.=) v.relowner and p.prokind in ('f', 'w'))
             when 'pg_catalog.pg_operator'::pg_catalog.regclass then true
             when 'pg_catalog.pg_type'::pg_catalog.regclass then true
             else false
           end)
$$;

comment on function tinydev_lib.reads_others(oid) is
$$Whether a view may touch anything that is not its owner's: false when one look at what its query names shows that it does not.$$;
