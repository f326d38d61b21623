create or replace function tinydev.unshare(relation text, grantee text, privilege text default 'all', dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found     record;
  -- What cannot be read cannot be written to either.
  v_all       boolean := unshare.privilege in ('all', 'select');
  v_sql       text[];
  v_statement text;
begin
  select * into v_found from tinydev_lib.find_sharing(unshare.relation, unshare.grantee, unshare.privilege);
  if not exists (select from tinydev.grant g
                  where g.relation_id = v_found.relation_id and g.grantee = unshare.grantee and (v_all or g.privilege = unshare.privilege)) then
    perform tinydev_lib.fault(404, 'grant_not_found', format('%s is not shared with %s', v_found.full_name, unshare.grantee)
        || case when v_all then '' else format(' for %s', unshare.privilege) end, 'select * from tinydev.grant lists what is shared');
  end if;
  v_sql := array[format('revoke %s on %s from %I', case when v_all then 'all' else unshare.privilege end, v_found.full_name, v_found.role_name)];
  if v_all and tinydev_lib.is_last_grant(v_found.schema_id, v_found.relation_id, v_found.role_id) then
    v_sql := v_sql || format('revoke usage on schema %I from %I', v_found.schema_name, v_found.role_name);
  end if;
  if unshare.dry_run then
    return tinydev_lib.plan(v_sql);
  end if;
  foreach v_statement in array v_sql loop
    execute v_statement;
  end loop;
  perform tinydev.record_event(v_found.noun || '.unshared', v_found.relation_id, null, jsonb_build_object('to', unshare.grantee, 'privilege', unshare.privilege));
  return jsonb_build_object('relation', v_found.full_name, 'from', unshare.grantee, 'privilege', unshare.privilege);
end $$;

comment on function tinydev.unshare(text, text, text, boolean) is
$$Takes back what tinydev.share or a GRANT gave on a table or view of yours, and records table.unshared or view.unshared. Without a
privilege, and with select, all goes; USAGE on your workspace goes with the last thing in it that was shared with that user.
Answers {"relation":"ann.friends","from":"bob","privilege":"all"}; with dry_run revokes nothing and answers {"sql":[…]}.
Example: select tinydev.unshare('friends', 'bob');
Errors: TD404 relation_not_found, user_not_found, grant_not_found; TD403 not_owner; TD422 privilege_invalid, grantee_invalid.$$;
