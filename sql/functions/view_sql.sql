create or replace function tinydev_lib.view_sql(name text, query text) returns text
language sql immutable
as $$ select pg_catalog.format(E'create materialized view %s as\n%s', name, pg_catalog.rtrim(query, E'; \n\r\t')) $$;

comment on function tinydev_lib.view_sql(text, text) is 'The SQL that makes a materialized view; the query stands in it to the letter, less semicolons at its end.';
