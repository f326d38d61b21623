create or replace function tinydev_impl.cron_times(p_except bigint) returns table (
  jobs integer, minutes integer[], hours integer[], days integer[], months integer[], weekdays integer[], last_day boolean, either_day boolean, once boolean
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_nestloop = off  -- the planner knows nothing of how many fields there are
as $$
  with written as materialized (
    select array_remove(string_to_array(translate(case
             when j.schedule ~* 'd' and j.schedule ~* 'seconds?[[:space:]]*$' then '* * * * *'
             when j.schedule not like '%@%' then j.schedule
             when j.schedule ~ '^[[:space:]]*@hourly' then '0 * * * *'
             when j.schedule ~ '^[[:space:]]*@(daily|midnight)' then '0 0 * * *'
             when j.schedule ~ '^[[:space:]]*@weekly' then '0 0 * * 0'
             when j.schedule ~ '^[[:space:]]*@monthly' then '0 0 1 * *'
             else j.schedule end, E'\t\n', '  '), ' '), '') as f,
           j.is_once as once, count(*)::integer as jobs
      from (select c.schedule, c.command like '%, schedule => ''at %' and tinydev_lib.is_once(c.command) as is_once from cron.job c where c.active and c.jobid is distinct from p_except) j
     group by 1, 2
  ), field as materialized (
    -- Jobs are many, what their fields say is little.
    select d.place, d.text, tinydev_impl.cron_field(d.text, d.place) as v
      from (select distinct p.place, w.f[p.place] as text from written w, generate_series(1, 5) p(place) where cardinality(w.f) >= 5) d
  )
  select w.jobs, a.v, b.v, c.v, d.v, e.v, w.f[3] = '$', w.f[3] not like '*%' and w.f[5] not like '*%', w.once
    from written w
    join field a on a.place = 1 and a.text = w.f[1]
    join field b on b.place = 2 and b.text = w.f[2]
    join field c on c.place = 3 and c.text = w.f[3]
    join field d on d.place = 4 and d.text = w.f[4]
    join field e on e.place = 5 and e.text = w.f[5]
$$;

comment on function tinydev_impl.cron_times(bigint) is
$$How many active jobs of cron.job, of all users and databases, have which times, in pg_cron's zone, without one job. An interval of seconds is a job of each minute.$$;
