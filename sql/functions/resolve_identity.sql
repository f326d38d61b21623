create or replace function tinydev_impl.resolve_identity(p_issuer text, p_subject text, p_name name, p_create boolean) returns name
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role name;
  v_new  boolean;
  v_link text := format('an administrator can link it: select tinydev.link_identity(name => %L, issuer => %L, subject => %L)', coalesce(p_name, '…'), p_issuer, p_subject);
begin
  select i.role_name into v_role from tinydev_impl.identity i where i.issuer = p_issuer and i.subject = p_subject;
  if found then
    perform tinydev_impl.require_session(v_role);
    return v_role;
  end if;
  if p_name is null then
    perform tinydev_lib.fault(403, 'identity_unknown', format('the subject %s of %s is linked to no user', p_subject, p_issuer), v_link);
  end if;
  v_new := not exists (select from pg_roles r where r.rolname = p_name);
  if v_new and not p_create then
    perform tinydev_lib.fault(403, 'user_unknown', format('there is no user %I', p_name), 'an administrator makes users: tinydev user create ' || p_name);
  elsif not v_new then
    perform tinydev_impl.require_session(p_name);
    if pg_has_role(p_name, 'tinydev_admin', 'member') then
      perform tinydev_lib.fault(403, 'identity_not_linked', format('the user %I administers, and nobody becomes an administrator by what %s calls them', p_name, p_issuer), v_link);
    end if;
  end if;
  -- Who comes second waits here and then finds who came first; only the first one makes the user.
  insert into tinydev_impl.identity (issuer, subject, role_name) values (p_issuer, p_subject, p_name) on conflict do nothing;
  if found then
    if v_new then
      perform tinydev_impl.create_user_of_identity(p_name);
      -- A new user is made without what was kept of the name, this row too.
      insert into tinydev_impl.identity (issuer, subject, role_name) values (p_issuer, p_subject, p_name);
    end if;
    return p_name;
  end if;
  select i.role_name into v_role from tinydev_impl.identity i where i.issuer = p_issuer and i.subject = p_subject;
  if not found then
    perform tinydev_lib.fault(403, 'identity_taken', format('the user %I is somebody else at %s', p_name, p_issuer), v_link);
  end if;
  perform tinydev_impl.require_session(v_role);
  return v_role;
end $$;

comment on function tinydev_impl.resolve_identity(text, text, name, boolean) is
$$The role that a subject of an identity provider is: the one that it is bound to, else, bound now and for good, the one that p_name says.
p_create makes that user when there is none. p_name null only looks up. Administrators are never bound here.
Errors: TD403 not_a_user, identity_unknown, user_unknown, identity_not_linked, identity_taken, and those of tinydev.create_user.$$;
