create or replace function tinydev.share(relation text, grantee text, privilege text default 'select', dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found     record;
  v_sql       text[] := '{}';
  v_statement text;
begin
  select * into v_found from tinydev_lib.find_sharing(share.relation, share.grantee, share.privilege);
  if not has_schema_privilege(v_found.role_id, v_found.schema_id, 'usage') then
    v_sql := v_sql || format('grant usage on schema %I to %I', v_found.schema_name, v_found.role_name);
  end if;
  -- A load reads the columns that it writes. "All" is not PostgreSQL's: TRIGGER would let others' code into the table.
  v_sql := v_sql || format('grant %s on %s to %I',
    case share.privilege when 'select' then 'select' when 'all' then 'select, insert, update, delete' else 'select, ' || share.privilege end,
    v_found.full_name, v_found.role_name);
  if share.dry_run then
    return tinydev_lib.plan(v_sql);
  end if;
  foreach v_statement in array v_sql loop
    execute v_statement;
  end loop;
  perform tinydev.record_event(v_found.noun || '.shared', v_found.relation_id, null, jsonb_build_object('to', share.grantee, 'privilege', share.privilege));
  return jsonb_build_object('relation', v_found.full_name, 'to', share.grantee, 'privilege', share.privilege);
end $$;

comment on function tinydev.share(text, text, text, boolean) is
$$Shares a table or view of yours with another user, or with 'everyone', by a plain GRANT, and records table.shared or view.shared.
privilege is select, insert, update, delete or all (these four); the writing ones let read too, since a load reads columns. The grantee also
gets USAGE on your workspace where it is missing.
Answers {"relation":"ann.friends","to":"bob","privilege":"select"}; with dry_run grants nothing and answers {"sql":[…]}.
Example: select tinydev.share('friends', 'bob');
Errors: TD404 relation_not_found, user_not_found; TD403 not_owner; TD422 privilege_invalid, grantee_invalid.$$;
