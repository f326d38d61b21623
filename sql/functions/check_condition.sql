create or replace function tinydev_lib.check_condition(condition text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_path jsonpath;
  v_word text := regexp_replace(lower(trim(condition)), '[[:space:]]+', ' ', 'g');
begin
  if coalesce(v_word, '') in ('', 'always') then
    return null;
  elsif v_word = 'not empty' then
    return '$.rows > 0'::jsonpath::text;
  elsif v_word = 'changed' then
    -- What is null or not there is not known, and nothing is left out on a guess.
    return '!($.changed == false)'::jsonpath::text;
  end if;
  begin
    v_path := check_condition.condition::jsonpath;
  exception when data_exception or syntax_error then
    perform tinydev_lib.fault(422, 'condition_invalid', format('the condition is no SQL/JSON path: %s', sqlerrm), 'write what has to be true of the event''s data, such as $.rows > 0, or one of the words always, not empty and changed',
      '{"field": "condition"}');
  end;
  if length(check_condition.condition) > 2000 then
    perform tinydev_lib.fault(422, 'condition_invalid', 'a condition may have 2,000 characters', fields => '{"field": "condition"}');
  end if;
  -- A filter selects items and is never true or false.
  if v_path::text ~ '^(strict )?[$].*[?][(].*[)]$' then
    perform tinydev_lib.fault(422, 'condition_invalid', 'the condition selects something instead of being true or false', 'write $.rows > 0 instead of $.rows ? (@ > 0)',
      '{"field": "condition"}');
  end if;
  return v_path::text;
end $$;

comment on function tinydev_lib.check_condition(text) is
$$Gives a condition over the data of events, an SQL/JSON path predicate, as PostgreSQL writes it; null for none. Words are taken too: always, which is none,
not empty (there are rows) and changed (it changed, or that is not known).
Errors: TD422 condition_invalid.$$;
