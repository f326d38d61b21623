create or replace function tinydev_lib.relation_bytes(relation_id oid) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
  -- A partitioned table has no rows of its own, and PostgreSQL 12 runs the functions in its partition key when it is opened.
  if (select c.relkind from pg_class c where c.oid = relation_bytes.relation_id) = 'p' then
    return 0;
  end if;
  return pg_total_relation_size(relation_bytes.relation_id);
exception when lock_not_available then
  return -1;  -- a refresh, say, has it locked; a list does not wait for it
end $$;

comment on function tinydev_lib.relation_bytes(oid) is 'Size on disk with indexes and long values; -1 while the relation is locked.';
