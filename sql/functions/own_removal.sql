create or replace view tinydev_lib.own_removal with (security_barrier) as
select r.role_name, r.token_id, r.owner_name from tinydev_impl.removal r
 where r.role_name = current_user or r.owner_name is null and pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
with check option;

grant insert on tinydev_lib.own_removal to tinydev_user;

comment on view tinydev_lib.own_removal is
$$What tinydev.revoke_token and untrust write to: a token or a trust of the role in force (current_user), for administrators everybody's
tokens, that is to go. See tinydev_lib.own_trust for why it is a view.$$;

create or replace function tinydev_impl.remove() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tinydev_impl.token t where t.token_id = new.token_id and t.role_name = new.role_name;
  delete from tinydev_impl.trust t where t.role_name = new.role_name and t.owner_name = new.owner_name;
  delete from tinydev_impl.removal r where r.removal_id = new.removal_id;
  return null;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.removal'::pg_catalog.regclass and tgname = 't50_remove') then
    create trigger t50_remove after insert on tinydev_impl.removal for each row execute function tinydev_impl.remove();
  end if;
end $$;
