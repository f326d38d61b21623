create or replace function tinydev.drop_user(name text, objects text default 'refuse', to_user text default null, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_admin();
  return tinydev_lib.remove_user(drop_user.name, drop_user.objects, drop_user.to_user, drop_user.dry_run);
end $$;

comment on function tinydev.drop_user(text, text, text, boolean) is
$$Drops a user, for administrators: its jobs, tokens, rights and role, ending its sessions and runs. What it owns is dropped
(objects => 'drop'), given to another user (objects => 'reassign', to_user => 'ann'), or a reason to refuse, which is the default. Others'
objects are never dropped along. Functions that are given away lose SECURITY DEFINER, and the answer warns of all code that from now on
runs as its new owner. The name is retired: tinydev.create_user refuses it unless told to reuse it,
and in any case while a reassigned workspace, the schema of that name, is there.
Answers {"dropped":"bob","jobs":[{"job_id":5,"view":"bob.v",…}],"tokens":2,"objects":["table bob.t"],"reassigned_to":null,"warnings":[]};
with dry_run drops nothing and answers {"sql":[…]}.
Example: select tinydev.drop_user('bob', objects => 'reassign', to_user => 'ann');
Errors: TD403 admin_only, user_privileged, role_not_ours; TD404 user_not_found; TD409 user_has_objects with "objects", in_use with
"dependents", used_elsewhere with "places", drop_self, last_admin; TD422 objects_invalid.$$;
