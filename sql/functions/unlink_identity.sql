create or replace function tinydev.unlink_identity(name text, issuer text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_admin();
  return tinydev_lib.remove_identity(unlink_identity.name, unlink_identity.issuer, unlink_identity.dry_run);
end $$;

comment on function tinydev.unlink_identity(text, text, boolean) is
$$Forgets who a user is at an identity provider. For administrators. Whoever comes next with a claim that names the user is linked to it, unless
it administers: to keep a person out, block them at the provider, or drop the user. Pages that are open stay so
for up to twelve hours; streams end within a minute.
Answers {"name":"bob","issuer":…,"subject":…}; with dry_run forgets nothing and answers {"sql":[…]}.
Example: select tinydev.unlink_identity('bob', 'https://login.example.org');
Errors: TD403 admin_only; TD404 identity_not_found.$$;
