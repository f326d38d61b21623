create or replace function tinydev_lib.check_scopes(scopes text[]) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_scope text;
begin
  if cardinality(scopes) = 0 then
    perform tinydev_lib.fault(422, 'token_invalid', 'a token without any scope is good for nothing', 'name at least one, or leave scopes out for all', '{"field": "scopes"}');
  end if;
  foreach v_scope in array coalesce(scopes, '{}') loop
    if v_scope is null or array_position(tinydev_lib.scopes(), regexp_replace(v_scope, ':read$', '')) is null then
      perform tinydev_lib.fault(422, 'scope_unknown', format('there is no scope %L', v_scope),
        format('%s; with :read behind it only what reads', array_to_string(tinydev_lib.scopes(), ', ')), '{"field": "scopes"}');
    end if;
  end loop;
  return (select array_agg(distinct s order by s) from unnest(scopes) s);
end $$;

comment on function tinydev_lib.check_scopes(text[]) is
$$Gives scopes sorted and each once; null, which is all, stays null. Errors: TD422 scope_unknown, token_invalid.$$;
