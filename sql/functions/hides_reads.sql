create or replace function tinydev_lib.hides_reads(function oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
           -- What came with PostgreSQL reads what the query names, except for these, which run SQL or open what they are given by name.
           when p.oid < 16384 then p.pronamespace = 'pg_catalog'::regnamespace
                and (p.proname ~ '^(query|table|cursor|schema|database)_to_xml' or p.proname = 'ts_stat' or p.proname = 'ts_rewrite' and p.pronargs = 2)
           when p.prokind = 'a' then false  -- its parts are called too
           when l.lanname = 'sql' then p.prosrc <> ''  -- a body that was parsed when it was made (from PostgreSQL 14 on) leaves no text
           when l.lanname in ('c', 'internal') then p.provolatile <> 'i'  -- superusers' word can be trusted
           else true
         end
    from pg_proc p join pg_language l on l.oid = p.prolang
   where p.oid = hides_reads.function
$$;

comment on function tinydev_lib.hides_reads(oid) is
$$Whether PostgreSQL's catalogues do not tell what a function reads: its body is text that is run when it is called, such as plpgsql's.$$;
