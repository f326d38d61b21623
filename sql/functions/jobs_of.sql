create or replace function tinydev_lib.jobs_of(view text) returns bigint[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select array(select s.job_id from tinydev_impl.job_state s where s.view = jobs_of.view order by s.job_id)
$$;

comment on function tinydev_lib.jobs_of(text) is $$The numbers of all jobs that refresh a view, by its full name, from an index: to read the commands of all jobs takes long. What may be seen of them tinydev.job says.$$;
