create or replace function tinydev_lib.plan(statements text[]) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('sql', coalesce(jsonb_agg(s.statement || ';' order by s.n), '[]')) from unnest(plan.statements) with ordinality s(statement, n)
$$;

comment on function tinydev_lib.plan(text[]) is 'The answer to a dry run: {"sql":[…]}, each statement with its semicolon.';
