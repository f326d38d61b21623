create or replace function tinydev_lib.check_secret(kind text, secret text, dry_run boolean) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if check_secret.kind <> 'webhook' then
    if check_secret.secret is not null then
      perform tinydev_lib.fault(422, 'secret_invalid', format('the kind %s signs nothing', check_secret.kind), 'leave the secret out', '{"field": "secret"}');
    end if;
    return null;
  end if;
  if check_secret.secret is null then
    if check_secret.dry_run then
      return null;
    end if;
    if to_regprocedure('pg_catalog.gen_random_uuid()') is null then
      perform tinydev_lib.fault(422, 'secret_invalid', 'before version 13 PostgreSQL cannot make secrets by itself',
        'tinydev subscription create makes one; or give one: whsec_ and 24 to 64 random bytes in base64', '{"field": "secret"}');
    end if;
    return 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64');
  end if;
  if check_secret.secret !~ '^whsec_([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$'
     or octet_length(decode(substr(check_secret.secret, 7), 'base64')) not between 24 and 64 then
    perform tinydev_lib.fault(422, 'secret_invalid', 'this secret cannot be used', 'write whsec_ and 24 to 64 random bytes in base64, or leave it out and one is made', '{"field": "secret"}');
  end if;
  return check_secret.secret;
end $$;

comment on function tinydev_lib.check_secret(text, text, boolean) is
$$Checks the secret that signs what a subscription sends, or makes one; null where nothing is signed. Errors: TD422 secret_invalid.$$;
