-- No SET clause: the query's names are looked up on the caller's own search_path.
create or replace function tinydev.create_view(name text, query text, dry_run boolean default false) returns jsonb
language plpgsql
as $$
declare
  v_workspace name;
  v_relation  name;
  v_name      text;
  v_sql       text;
begin
  select p.workspace, p.relation into v_workspace, v_relation from tinydev_lib.parse_name(create_view.name) p;
  v_name := pg_catalog.format('%I.%I', v_workspace, v_relation);
  perform tinydev_lib.require_own_workspace(v_workspace);
  perform tinydev_lib.check_query(create_view.query);
  v_sql := tinydev_lib.view_sql(v_name, create_view.query);
  perform tinydev_lib.require_free(v_workspace, v_relation, 'choose another name, or replace the view with tinydev.replace_view');
  if create_view.dry_run then
    return pg_catalog.jsonb_build_object('sql', pg_catalog.jsonb_build_array(v_sql operator(pg_catalog.||) ';'));
  end if;
  perform tinydev_lib.make_view(v_name, create_view.query);
  return tinydev_lib.created_view(v_name, 'view.created');
end $$;

comment on function tinydev.create_view(text, text, boolean) is
$$Makes a materialized view in your workspace from exactly one query, fills it, and records view.created.
Answers {"name":"ann.bdays_today","columns":[…],"rows":1,"populated":true}; with dry_run makes nothing and answers {"sql":[…]}.
Example: select tinydev.create_view('adults', 'select * from friends where age >= 18');
Errors: TD409 name_taken; TD422 query_invalid, name_invalid; TD403 not_your_workspace, foreign_code; errors of PostgreSQL's own with their position in the query.$$;
