-- No SET clause: the query's names are looked up on the caller's own search_path, as they will be later.
create or replace function tinydev_lib.check_query(query text) returns void
language plpgsql
as $$
declare
  v_cursor refcursor;
begin
  if check_query.query is null then
    perform tinydev_lib.fault(422, 'query_invalid', 'there is no query', 'write one, such as: select * from friends');
  end if;
  perform tinydev_lib.require_no_early_code(check_query.query);
  begin
    -- Planning may run code of others' (a function in an index, say), so the query is only analysed: a cursor takes one statement, and
    -- EXPLAIN plans when it is fetched from, which it is not.
    open v_cursor for execute 'explain declare tinydev_query cursor for ' operator(pg_catalog.||) check_query.query;
    close v_cursor;
  exception when invalid_cursor_definition then
    perform tinydev_lib.fault(422, 'query_invalid', 'the text must be exactly one query that returns rows',
      'write one select, values, table or with … select, without a second statement');
  end;
end $$;

comment on function tinydev_lib.check_query(text) is
$$Raises an error unless the text is exactly one statement that returns rows; analyses it, does not plan or run it.
An error of PostgreSQL's own carries its position in this very text.$$;
