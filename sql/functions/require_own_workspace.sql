create or replace function tinydev_lib.require_own_workspace(workspace name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if require_own_workspace.workspace <> current_user then
    perform tinydev_lib.fault(403, 'not_your_workspace', format('%I is not your workspace', workspace),
      format('leave the workspace out, or write %I', current_user));
  end if;
  if not exists (select from pg_namespace n where n.nspname = require_own_workspace.workspace) then
    perform tinydev_lib.fault(404, 'workspace_not_found', format('there is no workspace %I', workspace),
      format('an administrator makes it with: select tinydev.create_user(%L)', workspace));
  end if;
end $$;

comment on function tinydev_lib.require_own_workspace(name) is
$$Raises TD403 not_your_workspace unless the workspace is the caller's, TD404 workspace_not_found when there is no such schema.$$;
