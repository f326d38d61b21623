create or replace function tinydev_lib.word_list(items text[], conjunction text default 'and') returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when cardinality(items) > 1 then
      array_to_string(items[1:cardinality(items) - 1], ', ') || ' ' || conjunction || ' ' || items[cardinality(items)]
    else coalesce(items[1], '')
  end;
$$;

comment on function tinydev_lib.word_list(text[], text) is
$$Joins words as a person does: a; a and b; a, b and c. The array starts at 1; an empty one gives an empty text.$$;
