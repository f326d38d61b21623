create or replace function tinydev_lib.opted_out(owner name, addresses text[], subscription_id bigint) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select a from unnest(opted_out.addresses) a
   where exists (select from tinydev_impl.opted_out o where o.role_name = opted_out.owner and o.address_sha256 = tinydev_lib.sha256_hex(lower(a)))
     and not exists (select from tinydev_impl.subscription s, unnest(string_to_array(s.target, ',')) t
                      where s.subscription_id = opted_out.subscription_id and s.role_name = opted_out.owner and lower(trim(t)) = lower(a))
   limit 1
$$;

comment on function tinydev_lib.opted_out(name, text[], bigint) is
$$The first of these addresses that wants no more e-mail of a user, see tinydev_impl.unsubscribe; null for none. One to which the given
subscription sends already does not count: it ended another.$$;
