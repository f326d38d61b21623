-- runs as: installer
create or replace function tinydev_lib.put_identity(name text, issuer text, subject text, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder  pg_catalog.name;
  v_linked  timestamptz;
begin
  perform tinydev_impl.require_session(coalesce(put_identity.name, '')::pg_catalog.name);
  if coalesce(put_identity.issuer, '') !~ '^https?://[^[:space:]/?#@]+(/[^[:space:]?#]*)?$' then
    perform tinydev_lib.fault(422, 'identity_invalid', format('%L is not an issuer', put_identity.issuer),
      'write the claim iss of the provider''s tokens, such as https://login.example.org', '{"field": "issuer"}');
  end if;
  if coalesce(length(put_identity.subject), 0) not between 1 and 255 then
    perform tinydev_lib.fault(422, 'identity_invalid', 'a subject has 1 to 255 characters', 'write the claim sub of the person''s tokens', '{"field": "subject"}');
  end if;
  select i.role_name into v_holder from tinydev_impl.identity i where i.issuer = put_identity.issuer and i.subject = put_identity.subject;
  if v_holder <> put_identity.name then
    perform tinydev_lib.fault(409, 'identity_in_use', format('the subject %s of %s is %I', put_identity.subject, put_identity.issuer, v_holder),
      format('take it away first: select tinydev.unlink_identity(name => %L, issuer => %L)', v_holder, put_identity.issuer));
  end if;
  if put_identity.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(
      format('select tinydev.link_identity(name => %L, issuer => %L, subject => %L);', put_identity.name, put_identity.issuer, put_identity.subject)));
  end if;
  insert into tinydev_impl.identity as i (issuer, subject, role_name) values (put_identity.issuer, put_identity.subject, put_identity.name)
  on conflict on constraint identity_issuer_role_name_key do update
    set subject = excluded.subject, linked_at = case when i.subject = excluded.subject then i.linked_at else excluded.linked_at end
  returning i.linked_at into v_linked;
  return jsonb_build_object('name', put_identity.name, 'issuer', put_identity.issuer, 'subject', put_identity.subject, 'linked_at', v_linked);
exception when unique_violation then
  perform tinydev_lib.fault(409, 'identity_in_use', format('the subject %s of %s was linked to another user just now', put_identity.subject, put_identity.issuer), 'select * from tinydev.identity');
end $$;

alter function tinydev_lib.put_identity(text, text, text, boolean) owner to tinydev_roles;

comment on function tinydev_lib.put_identity(text, text, text, boolean) is
$$What tinydev.link_identity does, with the right to the private table. For administrators.$$;
