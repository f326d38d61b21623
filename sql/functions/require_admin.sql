create or replace function tinydev_lib.require_admin() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not pg_has_role('tinydev_admin', 'usage') then
    perform tinydev_lib.fault(403, 'admin_only', format('only administrators may do this, and %I is none', current_user),
      'ask one of them: select name from tinydev.user where admin');
  end if;
end $$;

comment on function tinydev_lib.require_admin() is
$$Raises TD403 admin_only unless the caller is an administrator. It is there for the words: PostgreSQL itself lets only administrators call
what does the work.$$;
