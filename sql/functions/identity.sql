create or replace view tinydev.identity with (security_barrier) as
select i.role_name as name, i.issuer, i.subject, i.linked_at
  from tinydev_impl.identity i
 where i.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.identity to tinydev_user;

comment on view tinydev.identity is
$$Who is who at outside identity providers: you, for administrators all. tinydev.link_identity and unlink_identity change it.$$;
comment on column tinydev.identity.name      is 'the user';
comment on column tinydev.identity.issuer    is 'claim iss of the provider''s tokens';
comment on column tinydev.identity.subject   is 'claim sub: who it is there, whatever name they have';
comment on column tinydev.identity.linked_at is 'when an administrator linked them, or they first came';
