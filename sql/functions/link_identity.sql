-- runs as: installer
create or replace function tinydev.link_identity(name text, issuer text, subject text, dry_run boolean default false) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder  pg_catalog.name;
  v_linked  timestamptz;
begin
  perform tinydev_impl.require_session(coalesce(link_identity.name, '')::pg_catalog.name);
  if coalesce(link_identity.issuer, '') !~ '^https?://[^[:space:]/?#@]+(/[^[:space:]?#]*)?$' then
    perform tinydev_lib.fault(422, 'identity_invalid', format('%L is not an issuer', link_identity.issuer),
      'write the claim iss of the provider''s tokens, such as https://login.example.org', '{"field": "issuer"}');
  end if;
  if coalesce(length(link_identity.subject), 0) not between 1 and 255 then
    perform tinydev_lib.fault(422, 'identity_invalid', 'a subject has 1 to 255 characters', 'write the claim sub of the person''s tokens', '{"field": "subject"}');
  end if;
  select i.role_name into v_holder from tinydev_impl.identity i where i.issuer = link_identity.issuer and i.subject = link_identity.subject;
  if v_holder <> link_identity.name then
    perform tinydev_lib.fault(409, 'identity_in_use', format('%s of %s is %I', link_identity.subject, link_identity.issuer, v_holder),
      format('take it away first: select tinydev.unlink_identity(name => %L, issuer => %L);', v_holder, link_identity.issuer));
  end if;
  if link_identity.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(
      format('select tinydev.link_identity(name => %L, issuer => %L, subject => %L);', link_identity.name, link_identity.issuer, link_identity.subject)));
  end if;
  insert into tinydev_impl.identity as i (issuer, subject, role_name) values (link_identity.issuer, link_identity.subject, link_identity.name)
  on conflict on constraint identity_issuer_role_name_key do update
    set subject = excluded.subject, linked_at = case when i.subject = excluded.subject then i.linked_at else excluded.linked_at end
  returning i.linked_at into v_linked;
  return jsonb_build_object('name', link_identity.name, 'issuer', link_identity.issuer, 'subject', link_identity.subject, 'linked_at', v_linked);
exception when unique_violation then
  perform tinydev_lib.fault(409, 'identity_in_use', format('%s of %s was linked to another user just now', link_identity.subject, link_identity.issuer), 'select * from tinydev.identity');
end $$;

alter function tinydev.link_identity(text, text, text, boolean) owner to tinydev_roles;

comment on function tinydev.link_identity(text, text, text, boolean) is
$$Says who a user is at an identity provider: issuer and subject are the claims iss and sub of its tokens. A user has one subject at an issuer;
another call replaces it. For administrators. Users who administer can sign in by a provider only so; others are linked by themselves when they
first come. Answers {"name":"bob","issuer":…,"subject":…,"linked_at":…}; with dry_run links nothing and answers {"sql":[…]}.
Example: select tinydev.link_identity('bob', 'https://login.example.org', '00u1a2b3c4');
Errors: TD403 not_a_user; TD409 identity_in_use; TD422 identity_invalid.$$;
