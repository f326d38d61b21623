create or replace function tinydev_impl.trigger_name(p_definition jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when octet_length(n.full_name) <= 63 then n.full_name else (left(md5(n.full_name), 8) || '.' || n.full_name)::name::text end
    from (select (p_definition ->> 'owner') || '.' || (p_definition ->> 'name') as full_name) n
$$;

comment on function tinydev_impl.trigger_name(jsonb) is
$$The name in PostgreSQL of a user's trigger on the log: owner.name, and where that is too long the first characters of it behind eight
digits of its MD5.$$;

create or replace function tinydev_impl.trigger_sql(p_definition jsonb) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner     text := p_definition ->> 'owner';
  v_view      text := p_definition ->> 'view';
  v_condition text := p_definition ->> 'condition';
  v_data      text := 'new.data';
  v_when      text[];
begin
  if v_view is null or (parse_ident(v_view))[1] = v_owner then
    v_when := array[format('new.workspace = %L', v_owner)];
  end if;
  if v_view is not null then
    -- By name, so that a view that was dropped and made anew, or replaced, is meant still, and its drop, which has no subject_id, too.
    v_when := v_when || format('new.subject = %L', v_view);
  end if;
  if p_definition -> 'types' <> 'null' then
    v_when := v_when || format('new.type like any (array[%s])',
      (select string_agg(quote_literal(g), ', ' order by n)
         from unnest(tinydev_lib.globs(array(select jsonb_array_elements_text(p_definition -> 'types')), 'tinydev.')) with ordinality g(g, n)));
  end if;
  if v_view is not null and (parse_ident(v_view))[1] <> v_owner then
    v_data := format('tinydev_impl.seen_data(%L, new.workspace, new.subject_id, new.data)', v_owner);
  end if;
  if v_condition is not null then
    v_when := v_when || format('pg_catalog.jsonb_path_match(%s, %L, ''{}'', true) is true', v_data, v_condition);
  elsif v_data <> 'new.data' then
    v_when := v_when || (v_data || ' is not null');
  end if;
  return array[
    format(E'create trigger %I after insert on tinydev_impl.event for each row\n  when (%s)\n  execute function tinydev_impl.notify_channel(%L)',
      tinydev_impl.trigger_name(p_definition), array_to_string(v_when, E'\n    and '), p_definition ->> 'channel'),
    format('comment on trigger %I on tinydev_impl.event is %L', tinydev_impl.trigger_name(p_definition), p_definition)
  ];
end $$;

comment on function tinydev_impl.trigger_sql(jsonb) is
$$The statements that make a trigger, of its definition. Nothing in WHEN may raise an error or take long: it runs where the log is written. All that
a user gave stands in it as a literal.$$;
