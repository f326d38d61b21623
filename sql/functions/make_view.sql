-- No SET clause: the query's names are looked up on the caller's own search_path.
create or replace function tinydev_lib.make_view(name text, query text) returns void
language plpgsql
as $$
begin
  -- In two steps, since an empty view is neither planned nor run, and shows what it would run.
  execute tinydev_lib.view_sql(make_view.name, make_view.query) operator(pg_catalog.||) E'\nwith no data';
  if (tinydev_lib.find_refreshable(make_view.name)).reads_others then
    perform tinydev_lib.require_data(make_view.name::pg_catalog.regclass, 'refresh');
  end if;
  execute pg_catalog.format('refresh materialized view %s', make_view.name);
end $$;

comment on function tinydev_lib.make_view(text, text) is
$$Makes a materialized view of a query that tinydev_lib.check_query let pass, and fills it. Errors: TD403 foreign_code.$$;
