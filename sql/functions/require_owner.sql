create or replace function tinydev_lib.require_owner(relation text, owner name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if require_owner.owner <> current_user or session_user <> current_user then
    perform tinydev_lib.fault(403, 'not_owner', format('%s belongs to %s; only %s may change it, in a session of their own', relation, owner, owner),
      'ask its owner, or connect as ' || quote_ident(owner));
  end if;
end $$;

comment on function tinydev_lib.require_owner(text, name) is
$$Raises TD403 not_owner unless the session is the owner's own: neither SET ROLE nor superuser rights stand in for it, because a
view's query runs as the one who refreshes it.$$;
