create or replace function tinydev_lib.job_subject(username text, command text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_view  text := tinydev_lib.job_view(job_subject.command);
  v_owner name;
begin
  if v_view is null then
    return null;
  end if;
  select pg_get_userbyid(c.relowner) into v_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = (parse_ident(v_view))[1] and c.relname = (parse_ident(v_view))[2];
  return case when coalesce(v_owner, (parse_ident(v_view))[1]) = job_subject.username then v_view end;
end $$;

comment on function tinydev_lib.job_subject(text, text) is
$$The view that a job refreshes, when the job is its owner's; null for any other job, whatever its command says. A view that is gone counts as
its workspace's.$$;
