create or replace function tinydev.trust(owner text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_roles r where r.rolname = trust.owner) then
    perform tinydev_lib.fault(404, 'user_not_found', format('there is no user %s', quote_ident(coalesce(trust.owner, ''))), 'write the name as it is in PostgreSQL');
  end if;
  if trust.owner = current_user then
    perform tinydev_lib.fault(422, 'trust_invalid', 'your own code runs with your rights anyway', 'name another owner');
  end if;
  if trust.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select tinydev.trust(%L);', trust.owner)));
  end if;
  insert into tinydev_lib.own_trust (role_name, owner_name) values (current_user, trust.owner) on conflict do nothing;
  return (select jsonb_build_object('owner', t.owner, 'trusted_at', t.trusted_at) from tinydev.trusted t where t.owner = trust.owner);
end $$;

comment on function tinydev.trust(text, boolean) is
$$Lets code of another owner run with your rights when you read, load into or refresh from what is his: functions in his views, row
policies, triggers, column defaults and indexes. He may change it at any time, and it can do whatever you can. Without it such a
relation is refused with foreign_code. Answers {"owner":"eve","trusted_at":…}; with dry_run {"sql":[…]}.
Example: select tinydev.trust('eve');
Errors: TD404 user_not_found; TD422 trust_invalid for yourself.$$;
