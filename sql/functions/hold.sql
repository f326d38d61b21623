create or replace function tinydev_lib.hold(relation_id oid, access text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids   oid[];
  v_names text[];
  v_read  text;
  v_name  text;
  v_since refcursor;
begin
  -- An open cursor keeps its snapshot, and CREATE INDEX CONCURRENTLY makes no index valid before older snapshots are gone.
  open v_since for select 1;
  -- What lies in a schema that is closed to the caller can only be read through a view, and is locked with it. A view that is refreshed
  -- is locked by REFRESH; a weaker lock now would make two refreshes wait for each other.
  select array_agg(r.id), array_agg(r.name), string_agg('only ' || r.name, ', ') filter (where r.how = 'read')
    into v_ids, v_names, v_read
    from (select distinct x.id, x.how, format('%I.%I', n.nspname, c.relname) as name
            from tinydev_lib.reached(hold.relation_id, hold.access) x
            join pg_class c on c.oid = x.id join pg_namespace n on n.oid = c.relnamespace
           where x.how <> 'refresh' and has_schema_privilege(n.oid, 'usage')) r;
  -- PREPARE locks what a statement names, and what the views in it read. It does not plan, which may run code, and asks for no right
  -- but the use of the schema, where LOCK TABLE asks for more than INSERT before PostgreSQL 16.
  if v_read is not null then
    execute 'prepare tinydev_hold as select from ' || v_read;
    deallocate tinydev_hold;
  end if;
  for v_name in
    select format('%I.%I', n.nspname, c.relname)
      from tinydev_lib.reached(hold.relation_id, hold.access) x join pg_class c on c.oid = x.id join pg_namespace n on n.oid = c.relnamespace
     where x.how = 'write' and c.relkind <> 'v'
  loop
    execute format('prepare tinydev_hold as insert into %s default values', v_name);
    deallocate tinydev_hold;
  end loop;
  -- From here on what was locked keeps its name.
  if exists (select from unnest(v_ids, v_names) as r(id, name) where to_regclass(r.name)::oid is distinct from r.id) then
    raise exception using errcode = 'serialization_failure', message = hold.relation_id::regclass || ' was changed meanwhile', hint = 'try again';
  end if;
end $$;

comment on function tinydev_lib.hold(oid, text) is
$$Locks, until the end of the transaction, the relations that reading, writing to or refreshing a relation reaches: as one who reads, or
as one who inserts where it is written to.$$;
