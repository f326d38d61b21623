-- runs as: installer
create or replace function tinydev_lib.remove_identity(name text, issuer text, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject text;
begin
  select i.subject into v_subject from tinydev_impl.identity i where i.issuer = remove_identity.issuer and i.role_name = remove_identity.name;
  if not found then
    perform tinydev_lib.fault(404, 'identity_not_found', format('the user %I is linked to nobody at %s', remove_identity.name, remove_identity.issuer), 'select * from tinydev.identity lists who is');
  end if;
  if remove_identity.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(
      format('select tinydev.unlink_identity(name => %L, issuer => %L);', remove_identity.name, remove_identity.issuer)));
  end if;
  delete from tinydev_impl.identity i where i.issuer = remove_identity.issuer and i.role_name = remove_identity.name;
  return jsonb_build_object('name', remove_identity.name, 'issuer', remove_identity.issuer, 'subject', v_subject);
end $$;

alter function tinydev_lib.remove_identity(text, text, boolean) owner to tinydev_roles;

comment on function tinydev_lib.remove_identity(text, text, boolean) is
$$What tinydev.unlink_identity does, with the right to the private table. For administrators.$$;
