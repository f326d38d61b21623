create or replace function tinydev_lib.doctor_view() returns setof tinydev_lib.finding
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive view as (
    select c.oid as id, pg_get_userbyid(c.relowner) as owner, format('%I.%I', n.nspname, c.relname) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'm' and n.nspname not in ('pg_catalog', 'information_schema', 'cron', 'tinydev', 'tinydev_lib', 'tinydev_impl')
       and tinydev_lib.may_diagnose(pg_get_userbyid(c.relowner))
  ), reach(id, relation) as (
    select v.id, v.id from view v
    union
    select r.id, d.refobjid
      from reach r
      join pg_rewrite w on w.ev_class = r.relation
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.relation
      join pg_class c on c.oid = d.refobjid and c.relkind = 'v'
  ), called as (
    -- A body that was parsed when it was made (begin atomic, from 14 on) looks nothing up.
    select distinct r.id as view_id, p.oid as function_id, n.nspname as schema, pg_get_userbyid(p.proowner) as owner,
           regexp_replace(regexp_replace(regexp_replace(lower(p.prosrc), '--[^' || chr(10) || ']*', ' ', 'g'), '/[*].*?[*]/', ' ', 'g'), '''[^'']*''', ' ', 'g') as body
      from reach r
      join pg_rewrite w on w.ev_class = r.relation
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = d.refobjid and p.prokind in ('f', 'w')
      join pg_language l on l.oid = p.prolang and l.lanname not in ('c', 'internal')
      join pg_namespace n on n.oid = p.pronamespace and n.nspname <> 'pg_catalog'
     where not exists (select from unnest(p.proconfig) c where c like 'search_path=%') and to_jsonb(p) ->> 'prosqlbody' is null
  ), named as (
    select distinct on (c.view_id, c.function_id) c.view_id, c.function_id, c.schema, x.schema as found_in, x.name
      from called c
      join lateral (
        select n.nspname as schema, o.relname as name, '[[:<:]](from|join|update|into|only)[[:space:]]+"?%s"?(?![[:alnum:]_."])' as pattern
          from pg_class o join pg_namespace n on n.oid = o.relnamespace where o.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname in (c.schema, c.owner, 'public')
        union all
        select n.nspname, o.proname, '(?<![[:alnum:]_."])"?%s"?[[:space:]]*[(]'
          from pg_proc o join pg_namespace n on n.oid = o.pronamespace
         where n.nspname in (c.schema, c.owner, 'public') and not exists (select from pg_proc b where b.pronamespace = 'pg_catalog'::regnamespace and b.proname = o.proname)
      ) x on x.name ~ '^[a-zA-Z_][a-zA-Z0-9_]*$' and c.body ~ replace(x.pattern, '%s', lower(x.name))
     order by c.view_id, c.function_id, x.schema, x.name
  )
  select v.owner, 'unique_index', 'warn', v.name, m.problem, m.statement, false
    from view v, lateral tinydev_lib.missing_index(v.id) m
   where m.problem is not null
  union all
  select v.owner, 'search_path', 'warn', v.name,
         format(case when current_setting('server_version_num')::integer >= 170000
                     then '%s calls %s, which says %s without its schema and sets no search_path: a refresh looks in pg_catalog alone, and fails'
                     else '%s calls %s, which says %s without its schema and sets no search_path: from PostgreSQL 17 on a refresh looks in pg_catalog alone, and will fail' end, v.name, n.function_id::regprocedure, n.name),
         format('alter function %s set search_path = %s, pg_temp;', n.function_id::regprocedure,
           (select string_agg(quote_ident(s.name), ', ' order by s.n) from (select m.name, min(m.n) as n from (values (n.schema, 1), (n.found_in, 2)) m(name, n) group by 1) s)), false
    from named n join view v on v.id = n.view_id
$$;

comment on function tinydev_lib.doctor_view() is
$$What the doctor finds about materialized views of yours: unique_index, search_path. The latter reads the text of functions: it knows names of tables and
functions that stand there as they are, and none that a string is put together of.$$;
