create or replace function tinydev.untrust(owner text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from tinydev.trusted t where t.owner = untrust.owner) then
    perform tinydev_lib.fault(404, 'trust_not_found', format('you do not trust %s', quote_ident(coalesce(untrust.owner, ''))),
      'select owner from tinydev.trusted lists whom you trust');
  end if;
  if untrust.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select tinydev.untrust(%L);', untrust.owner)));
  end if;
  insert into tinydev_lib.own_removal (role_name, owner_name) values (current_user, untrust.owner);
  return jsonb_build_object('untrusted', untrust.owner);
end $$;

comment on function tinydev.untrust(text, boolean) is
$$Takes tinydev.trust back: from now on code of the owner does not run with your rights; refreshes that need it fail with foreign_code.
Answers {"untrusted":"eve"}; with dry_run {"sql":[…]}.
Errors: TD404 trust_not_found.$$;
