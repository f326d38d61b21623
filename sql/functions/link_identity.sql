create or replace function tinydev.link_identity(name text, issuer text, subject text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_admin();
  return tinydev_lib.put_identity(link_identity.name, link_identity.issuer, link_identity.subject, link_identity.dry_run);
end $$;

comment on function tinydev.link_identity(text, text, text, boolean) is
$$Says who a user is at an identity provider: issuer and subject are the claims iss and sub of its tokens. A user has one subject at an issuer;
another call replaces it. For administrators. Users who administer can sign in by a provider only so; others are linked by themselves when they
first come. Answers {"name":"bob","issuer":…,"subject":…,"linked_at":…}; with dry_run links nothing and answers {"sql":[…]}.
Example: select tinydev.link_identity('bob', 'https://login.example.org', '00u1a2b3c4');
Errors: TD403 admin_only, not_a_user; TD409 identity_in_use; TD422 identity_invalid.$$;
