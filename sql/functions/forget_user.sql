create or replace function tinydev_impl.forget_user(p_role name) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs   jsonb;
  v_tokens integer;
begin
  -- In all databases: a row of a role that is gone stops pg_cron's scheduler at its next start.
  with gone as (
    delete from cron.job j where j.username = p_role returning *
  )
  select coalesce(jsonb_agg(jsonb_build_object('job_id', g.jobid, 'name', g.jobname, 'view', tinydev_lib.job_view(g.command),
           'schedule', g.schedule, 'command', g.command) order by g.jobid), '[]')
    into v_jobs from gone g;
  with gone as (
    delete from tinydev_impl.token t where t.role_name = p_role returning t.kind
  )
  select count(*) filter (where g.kind = 'token') into v_tokens from gone g;
  delete from tinydev_impl.trust t where p_role in (t.role_name, t.owner_name);
  delete from tinydev_impl.identity i where i.role_name = p_role;
  delete from tinydev_impl.user_limit l where l.role_name = p_role;
  delete from tinydev_impl.subscription s where s.role_name = p_role;
  delete from tinydev_impl.freshness f where f.owner_name = p_role;
  delete from tinydev_impl.opted_out o where o.role_name = p_role;
  perform tinydev_impl.prune_triggers(p_role);
  return jsonb_build_object('jobs', v_jobs, 'tokens', v_tokens);
end $$;

grant execute on function tinydev_impl.forget_user(name) to tinydev_roles;

comment on function tinydev_impl.forget_user(name) is
$$Removes what we keep of a user: its rows of cron.job, its tokens and page sessions, trust given and received, identities, limits, subscriptions, who wants no e-mail of it, promises
of freshness, triggers.
Answers {"jobs":[{"job_id","name","view","schedule","command"}],"tokens":2}.$$;
