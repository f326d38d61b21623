-- No SET clause: the query's names are looked up on the caller's own search_path, as they will be when it runs.
create or replace function tinydev_lib.require_query(query text) returns void
language plpgsql
as $$
begin
  perform tinydev_lib.check_query(require_query.query);
  -- A view shows what the query uses. Making one analyses the query and no more.
  execute pg_catalog.format(E'create temporary view tinydev_query as select from (%s\n) as query', pg_catalog.rtrim(require_query.query, E'; \n\r\t'));
  perform tinydev_lib.require_data('pg_temp.tinydev_query'::pg_catalog.regclass, 'read');
end $$;

comment on function tinydev_lib.require_query(text) is
$$Raises an error unless the text is exactly one query that returns rows and that runs no code of another owner with your rights: as
tinydev_lib.check_query and tinydev_lib.require_data. It does not run the query, but holds the locks and leaves a temporary view, so roll the
transaction back when the query was run in it.$$;
