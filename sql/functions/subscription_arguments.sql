create or replace function tinydev_lib.subscription_arguments(arguments jsonb, leave_out_usual boolean) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format('%I => %s', a.name,
           case when a.value = 'null' then 'null'
                when a.name in ('types', 'subjects') then coalesce('array[' || (select string_agg(quote_literal(t.text), ', ' order by t.n) from jsonb_array_elements_text(a.value) with ordinality t(text, n)) || ']', '''{}''')
                when a.name = 'retry_seconds' then quote_literal(translate(a.value::text, '[] ', '{}'))
                when jsonb_typeof(a.value) in ('number', 'boolean') then a.value::text
                when jsonb_typeof(a.value) = 'string' then quote_literal(a.value #>> '{}')
                else quote_literal(a.value::text) end), ', ' order by d.place)
    from jsonb_each(subscription_arguments.arguments) a(name, value)
    join (values ('name', 1, null), ('kind', 2, null), ('target', 3, null), ('types', 4, null), ('subjects', 5, null), ('condition', 6, null), ('attach', 7, null),
                 ('attach_rows', 8, '100'), ('options', 9, '{}'), ('rearm', 10, '"each"'), ('rearm_seconds', 11, null), ('digest_seconds', 12, '0'),
                 ('timeout_seconds', 13, '30'), ('retry_seconds', 14, '[5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200]'), ('pause_after_seconds', 15, '43200'), ('secret', 16, null), ('active', 17, null)
         ) d(name, place, usual) on d.name = a.name
   where not leave_out_usual or a.value is distinct from coalesce(d.usual, 'null')::jsonb
$$;

comment on function tinydev_lib.subscription_arguments(jsonb, boolean) is
$$The arguments of a call that makes or changes a subscription, for a dry run; with leave_out_usual without those that are as usual.$$;
