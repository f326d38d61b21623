-- No SET clause: the query's names are looked up on the caller's own search_path.
create or replace function tinydev.replace_view(name text, query text, dry_run boolean default false) returns jsonb
language plpgsql
as $$
declare
  v_id         oid;
  v_name       text;
  v_owner      name;
  v_dependents text[];
  v_kept       text[];
  v_statement  text;
begin
  select f.relation_id, f.full_name, f.owner into v_id, v_name, v_owner from tinydev_lib.find_relation(replace_view.name, 'view') f;
  perform tinydev_lib.require_owner(v_name, v_owner);
  perform tinydev_lib.check_query(replace_view.query);
  v_dependents := tinydev_lib.dependents(v_id);
  if pg_catalog.cardinality(v_dependents) operator(pg_catalog.>) 0 then
    perform tinydev_lib.fault(409, 'in_use', pg_catalog.format('%s is used by %s', v_name, pg_catalog.array_to_string(v_dependents, ', ')),
      'drop or change those first', pg_catalog.jsonb_build_object('dependents', v_dependents));
  end if;
  v_kept := tinydev_lib.attachments(v_id);
  -- The old one steps aside under another name, so that its jobs do not go with it.
  v_kept := array[
      pg_catalog.format('alter materialized view %s rename to %I', v_name, 'tinydev_replaced_' operator(pg_catalog.||) v_id::text),
      tinydev_lib.view_sql(v_name, replace_view.query),
      pg_catalog.format('drop materialized view %I.%I', (select p.workspace from tinydev_lib.parse_name(v_name) p), 'tinydev_replaced_' operator(pg_catalog.||) v_id::text)
    ] operator(pg_catalog.||) v_kept;
  if replace_view.dry_run then
    return pg_catalog.jsonb_build_object('sql',
      (select pg_catalog.jsonb_agg(k.statement operator(pg_catalog.||) ';' order by k.n) from pg_catalog.unnest(v_kept) with ordinality k(statement, n)));
  end if;
  foreach v_statement in array v_kept loop
    if v_statement operator(pg_catalog.=) v_kept[2] then
      perform tinydev_lib.make_view(v_name, replace_view.query);
      continue;
    end if;
    begin
      execute v_statement;
    exception when undefined_column or undefined_function or undefined_object or unique_violation then
      perform tinydev_lib.fault(422, 'cannot_keep', pg_catalog.format('what %s has cannot be kept: %s', v_name, sqlerrm),
        'drop that index, comment or grant first, or keep the column in the query', pg_catalog.jsonb_build_object('statement', v_statement));
    end;
  end loop;
  return tinydev_lib.created_view(v_name, 'view.replaced');
end $$;

comment on function tinydev.replace_view(text, text, boolean) is
$$Gives a materialized view another query, in one transaction; its indexes, grants, comments and job stay. Answers as tinydev.create_view.
Refused when other views read it, or when an index, grant or comment is about a column that the new query has not got.
Errors: TD409 in_use with "dependents"; TD422 cannot_keep with "statement", query_invalid; TD404 view_not_found; TD403 not_owner, foreign_code.$$;
