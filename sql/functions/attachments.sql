create or replace function tinydev_lib.attachments(view_id oid) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := attachments.view_id::regclass::text;
  v_sql  text[];
begin
  select array_agg(s.statement order by s.rank, s.statement) into v_sql from (
    -- What default privileges give to the new one is not what the old one had.
    select distinct 0 as rank, format('revoke all on %s from %s', v_name, case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) as statement
      from pg_class c, pg_default_acl d, aclexplode(d.defaclacl) g
     where c.oid = attachments.view_id and d.defaclrole = c.relowner and d.defaclobjtype = 'r' and d.defaclnamespace in (0, c.relnamespace) and g.grantee <> c.relowner
    union all
    select 1, pg_get_indexdef(i.indexrelid)
      from pg_index i where i.indrelid = attachments.view_id
    union all
    select 2, format('alter materialized view %s cluster on %I', v_name, c.relname)
      from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = attachments.view_id and i.indisclustered
    union all
    select 2, format('alter materialized view %s set (%s)', v_name, array_to_string(c.reloptions, ', '))
      from pg_class c where c.oid = attachments.view_id and c.reloptions is not null
    union all
    select 2, pg_get_statisticsobjdef(x.oid) from pg_statistic_ext x where x.stxrelid = attachments.view_id
    union all
    select 3, format('comment on materialized view %s is %L', v_name, d.description)
      from pg_description d where d.classoid = 'pg_class'::regclass and d.objoid = attachments.view_id and d.objsubid = 0
    union all
    select 3, format('comment on column %s.%I is %L', v_name, a.attname, d.description)
      from pg_description d join pg_attribute a on a.attrelid = d.objoid and a.attnum = d.objsubid
     where d.classoid = 'pg_class'::regclass and d.objoid = attachments.view_id and d.objsubid > 0
    union all
    select 3, format('comment on index %s is %L', i.indexrelid::regclass, d.description)
      from pg_index i join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = i.indexrelid
     where i.indrelid = attachments.view_id
    union all
    select 4, format('grant %s on %s to %s%s', lower(g.privilege_type), v_name,
                     case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                     case when g.is_grantable then ' with grant option' else '' end)
      from pg_class c, aclexplode(c.relacl) g where c.oid = attachments.view_id and g.grantee <> c.relowner
    union all
    select 5, format('select tinydev_lib.move_freshness(%s, %L)', f.relation_id, f.relation) from tinydev.freshness f where f.relation_id = attachments.view_id
    union all
    select 4, format('grant %s (%I) on %s to %s%s', lower(g.privilege_type), a.attname, v_name,
                     case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                     case when g.is_grantable then ' with grant option' else '' end)
      from pg_attribute a, aclexplode(a.attacl) g where a.attrelid = attachments.view_id and not a.attisdropped
  ) s;
  return coalesce(v_sql, '{}');
end $$;

comment on function tinydev_lib.attachments(oid) is
$$The SQL that gives a materialized view the indexes, statistics, settings, comments, grants and promise of freshness that it has now.$$;
