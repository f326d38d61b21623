create or replace function tinydev_lib.plain_condition(condition text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_path text := regexp_replace(tinydev_lib.check_condition(plain_condition.condition), '^strict ', '');
  v_form text;
begin
  -- As it is, not strict: that compares one value too, and is true where there is none.
  if v_path = tinydev_lib.check_condition('changed') then
    return v_path;
  end if;
  -- As PostgreSQL writes it, with v for each single value: texts first, since they may hold anything, then keys, then literals.
  v_form := regexp_replace(v_path, E'"([^"\\\\]|\\\\.)*"', '""', 'g');
  v_form := regexp_replace(v_form, '[$]([.]""|[[][0-9]+[]])*', 'v', 'g');
  v_form := regexp_replace(v_form, '""|-?[0-9]+([.][0-9]+)?|true|false|null', 'v', 'g');
  if length(v_path) > 500 or v_form !~ '^[(]*v( (==|!=|<|<=|>|>=|starts with) v)?[)]*( (&&|[|][|]) [(]*v (==|!=|<|<=|>|>=|starts with) v[)]*)*$' then
    perform tinydev_lib.fault(422, 'condition_invalid', 'the condition of a trigger, for which all events wait, may only compare single values',
      'in up to 500 characters use keys such as $.rows or $.a.b, texts, numbers, true, false, null, ==, !=, <, <=, >, >=, starts with, && and ||, or the words always, not empty and changed; a subscription takes more',
      '{"field": "condition"}');
  end if;
  return 'strict ' || v_path;
end $$;

comment on function tinydev_lib.plain_condition(text) is
$$Gives a condition that is safe where all wait for it, as PostgreSQL writes it; null for none. Strict, over keys and literals alone, it takes
microseconds whatever the data is. Else, although it is told to be silent, jsonb_path_match raises for a variable that is not given, a wrong
template of datetime and a date beside a time with zone, and runs for hours where two arrays are compared, a regular expression refers back,
or $[0,0][0,0] doubles what it looks at.
Errors: TD422 condition_invalid.$$;
