create or replace function tinydev.unshare(relation text, grantee text, privilege text default 'all', dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found     record;
  -- What cannot be read cannot be written to either.
  v_all       boolean := unshare.privilege in ('all', 'select');
  v_privilege text[];
  v_givers    name[];
  v_sql       text[];
  v_statement text;
  v_warnings  text[];
begin
  select * into v_found from tinydev_lib.find_sharing(unshare.relation, unshare.grantee, unshare.privilege);
  v_privilege := case when v_all then array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'] else array[unshare.privilege] end;
  if not exists (select from tinydev.grant g
                  where g.relation_id = v_found.relation_id and (g.grantee = unshare.grantee or g.granted_by = v_found.role_name) and g.privilege = any (v_privilege)) then
    perform tinydev_lib.fault(404, 'grant_not_found', format('%s is not shared with %s', v_found.full_name, unshare.grantee)
        || case when v_all then '' else format(' for %s', unshare.privilege) end, 'select * from tinydev.grant lists what is shared');
  end if;
  -- What another granted goes only with that one's right to grant, or with the right of whom he has it from.
  with recursive givers(name, path) as (
    select distinct g.granted_by, array[g.granted_by]
      from tinydev.grant g
     where g.relation_id = v_found.relation_id and g.grantee = unshare.grantee and (v_all or g.privilege = unshare.privilege) and g.granted_by <> g.owner
    union
    select g.granted_by, x.path || g.granted_by
      from givers x join tinydev.grant g on g.relation_id = v_found.relation_id and g.grantee = case x.name when 'tinydev_user' then 'everyone' else x.name end
     where g.granted_by <> g.owner and g.granted_by <> all (x.path)
  )
  select x.path into v_givers from givers x order by cardinality(x.path) desc, x.path limit 1;
  if found then
    perform tinydev_lib.fault(409, 'still_shared', format('%s has %s from %s, not from you', unshare.grantee, v_found.full_name, v_givers[1]),
      format('take it back from %s with all that was given on: select tinydev.unshare(%L, %L)', v_givers[cardinality(v_givers)], v_found.full_name,
        case v_givers[cardinality(v_givers)] when 'tinydev_user' then 'everyone' else v_givers[cardinality(v_givers)] end),
      jsonb_build_object('relation', v_found.full_name, 'granted_by', v_givers[1]));
  end if;
  -- CASCADE leaves what was given on of single columns by one who had the right for the whole relation, unless that right is one for the column.
  with recursive takers(name) as (
    select v_found.role_name
    union
    select case g.grantee when 'everyone' then 'tinydev_user' else g.grantee end::name
      from takers t join tinydev.grant g on g.relation_id = v_found.relation_id and g.granted_by = t.name and g.privilege = any (v_privilege)
     where not exists (select from tinydev.grant o where o.relation_id = g.relation_id and o.grantee = g.grantee and o.granted_by = o.owner)
  ), given as (
    select distinct g.granted_by, g.grantee, g.privilege, g."column"
      from takers t join tinydev.grant g on g.relation_id = v_found.relation_id and g.granted_by = t.name and g.privilege = any (v_privilege)
  ), columns as (
    select distinct g.granted_by, format('%s (%I) on %s', g.privilege, g."column", v_found.full_name) as what from given g where g."column" is not null
  )
  select (select array_agg(distinct format('what %s gave on to %s is taken back too', g.granted_by, g.grantee)) from given g),
         (select array_agg(s.statement order by c.granted_by, c.what, s.n)
            from columns c cross join lateral (values
              (1, format('grant %s to %I with grant option', c.what, c.granted_by)),
              (2, format('revoke %s from %I cascade', c.what, c.granted_by))) s(n, statement))
    into v_warnings, v_sql;
  v_sql := v_sql || format('revoke %s on %s from %I%s', case when v_all then 'all' else unshare.privilege end, v_found.full_name, v_found.role_name,
    case when v_warnings is null then '' else ' cascade' end);
  if v_all and tinydev_lib.is_last_grant(v_found.schema_id, v_found.relation_id, v_found.role_id) then
    v_sql := v_sql || format('revoke usage on schema %I from %I%s', v_found.schema_name, v_found.role_name,
      case when exists (select from pg_namespace n, aclexplode(n.nspacl) g where n.oid = v_found.schema_id and g.grantor = v_found.role_id) then ' cascade' else '' end);
  end if;
  if unshare.dry_run then
    return tinydev_lib.plan(v_sql);
  end if;
  foreach v_statement in array v_sql loop
    execute v_statement;
  end loop;
  v_warnings := v_warnings || tinydev_lib.remaining_access(v_found.relation_id, v_found.role_id, v_privilege);
  perform tinydev.record_event(v_found.noun || '.unshared', v_found.relation_id, null, jsonb_build_object('to', unshare.grantee, 'privilege', unshare.privilege));
  return jsonb_build_object('relation', v_found.full_name, 'from', unshare.grantee, 'privilege', unshare.privilege, 'warnings', coalesce(to_jsonb(v_warnings), '[]'));
end $$;

comment on function tinydev.unshare(text, text, text, boolean) is
$$Takes back what tinydev.share or a GRANT gave on a table or view of yours, and records table.unshared or view.unshared. Without a
privilege, and with select, all goes, and what that user gave on to others; USAGE on your workspace goes with the last thing in it that was
shared with that user. What he may still do by another way, such as what everyone may, stands in "warnings".
Answers {"relation":"ann.friends","from":"bob","privilege":"all","warnings":[]}; with dry_run revokes nothing and answers {"sql":[…]}.
Example: select tinydev.unshare('friends', 'bob');
Errors: TD404 relation_not_found, user_not_found, grant_not_found; TD403 not_owner; TD409 still_shared; TD422 privilege_invalid, grantee_invalid.$$;
