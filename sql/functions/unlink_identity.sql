-- runs as: installer
create or replace function tinydev.unlink_identity(name text, issuer text, dry_run boolean default false) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject text;
begin
  select i.subject into v_subject from tinydev_impl.identity i where i.issuer = unlink_identity.issuer and i.role_name = unlink_identity.name;
  if not found then
    perform tinydev_lib.fault(404, 'identity_not_found', format('%I is linked to nobody at %s', unlink_identity.name, unlink_identity.issuer), 'select * from tinydev.identity lists who is');
  end if;
  if unlink_identity.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(
      format('select tinydev.unlink_identity(name => %L, issuer => %L);', unlink_identity.name, unlink_identity.issuer)));
  end if;
  delete from tinydev_impl.identity i where i.issuer = unlink_identity.issuer and i.role_name = unlink_identity.name;
  return jsonb_build_object('name', unlink_identity.name, 'issuer', unlink_identity.issuer, 'subject', v_subject);
end $$;

alter function tinydev.unlink_identity(text, text, boolean) owner to tinydev_roles;

comment on function tinydev.unlink_identity(text, text, boolean) is
$$Forgets who a user is at an identity provider. For administrators. Whoever comes next with a claim that names the user is linked to it, unless
it administers: to keep a person out, block them at the provider, or drop the user. Pages that are open stay so for up to twelve hours.
Answers {"name":"bob","issuer":…,"subject":…}; with dry_run forgets nothing and answers {"sql":[…]}.
Example: select tinydev.unlink_identity('bob', 'https://login.example.org');
Errors: TD404 identity_not_found.$$;
