create or replace function tinydev_lib.require_no_early_code(query text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table record;
begin
  if current_setting('server_version_num')::integer >= 130000 then
    return;
  end if;
  select c.oid::regclass::text as name, pg_get_userbyid(c.relowner) as owner into v_table
    from pg_partitioned_table k join pg_class c on c.oid = k.partrelid
   where k.partexprs is not null and not tinydev_lib.is_trusted(c.relowner) and strpos(lower(require_no_early_code.query), lower(c.relname)) > 0
     and exists (select from tinydev_lib.called_code('pg_class'::regclass, c.oid, k.partexprs::text) f
                  where f.code_class = 'pg_operator'::regclass or not tinydev_lib.is_harmless(f.id, 'read'))
   limit 1;
  if found then
    perform tinydev_lib.fault(403, 'foreign_code', format('PostgreSQL 12 would run code of %s with your rights as soon as a query names %s', v_table.owner, v_table.name),
      format('read the code, and if you trust it: select tinydev.trust(%L)', v_table.owner),
      jsonb_build_object('relation', v_table.name, 'owner', v_table.owner, 'runs', jsonb_build_array('partition key of ' || v_table.name)));
  end if;
end $$;

comment on function tinydev_lib.require_no_early_code(text) is
$$On PostgreSQL 12, which computes a partition key's functions when a query that names the table is analysed, raises TD403 foreign_code for
the text of a query that holds the name of such a table of another owner. Does nothing on later versions.$$;
