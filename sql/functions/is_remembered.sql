create or replace function tinydev_impl.is_remembered(p_role name) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from tinydev_impl.dropped_user d where d.role_name = p_role)
      or exists (select from tinydev_impl.token t where t.role_name = p_role)
      or exists (select from tinydev_impl.trust t where p_role in (t.role_name, t.owner_name))
      or exists (select from tinydev_impl.user_limit l where l.role_name = p_role)
      or exists (select from tinydev_impl.subscription s where s.role_name = p_role)
      or exists (select from tinydev_impl.made_trigger m where m.owner = p_role)
      or exists (select from cron.job j where j.username = p_role)
      or exists (select from tinydev_impl.inbox i where i.workspace = p_role)
      or exists (select from tinydev_impl.event e where e.workspace = p_role)
$$;

grant execute on function tinydev_impl.is_remembered(name) to tinydev_roles;

comment on function tinydev_impl.is_remembered(name) is
$$Whether something is kept of a user of the name, who was dropped here or by plain SQL.$$;
