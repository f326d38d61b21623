create or replace function tinydev_lib.relation_bytes(relation_id oid) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
  return pg_total_relation_size(relation_bytes.relation_id);
exception when lock_not_available then
  return -1;  -- a refresh, say, has it locked; a list does not wait for it
end $$;

comment on function tinydev_lib.relation_bytes(oid) is 'Size on disk with indexes and long values; -1 while the relation is locked.';
