create or replace function tinydev_lib.is_harmless(function oid, access text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_proc p
     where p.oid = is_harmless.function
       -- What came with PostgreSQL, not what an extension put there.
       and p.pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384
       and (p.provolatile <> 'v' or p.proname in
             ('random', 'random_normal', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'pg_is_in_recovery'))
       -- These run SQL or open relations that they are given by name or number: table_to_xml, pg_input_is_valid, pg_get_expr, …
       and p.proname !~ '_to_xml|^pg_input_|^pg_get_|^pg_(relation|column|sequence|extension)_|^satisfies_|_validator$|^ts_(stat|rewrite)$'
       -- A domain's input function runs the domain's checks; no person calls one by name.
       and not p.proargtypes::oid[] && array['cstring'::regtype, 'internal'::regtype]::oid[]
       -- A default could carry off what only the one who writes may see.
       and not (is_harmless.access = 'write' and p.proname ~ '^pg_stat_|^current_setting$|^pg_show_'))
$$;

comment on function tinydev_lib.is_harmless(oid, text) is
$$Whether a function does nothing but compute, whatever it is given: it came with PostgreSQL, is not volatile, and runs no SQL. With
access 'write' it must not tell either what only the one who calls it may see, since its value is stored.$$;
