create or replace function tinydev_lib.comes_after(view text, names text[]) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive later(view) as (
    select comes_after.view
    union
    select s.view from later l join tinydev_impl.job_state s on l.view = any (s.after)
  )
  select l.view from later l where l.view = any (comes_after.names) order by 1 limit 1
$$;

comment on function tinydev_lib.comes_after(text, text[]) is
$$The first of names that jobs refresh after a view, directly or not, or that is that view itself; null when none is.$$;
