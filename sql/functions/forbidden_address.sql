create or replace function tinydev_lib.forbidden_address(url text, allowed cidr[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_host    text := lower(substring(url from '(?i)^https?://([[][^]]*]|[^/?#:]*)'));
  v_address inet;
begin
  begin
    v_address := case when v_host in ('localhost', 'localhost.') or v_host like '%.localhost' then '127.0.0.1' else trim(both '[]' from v_host) end::inet;
  exception when invalid_text_representation then
    return null;  -- a name: the server looks at the address that it leads to
  end;
  if exists (select from unnest(allowed) a where v_address <<= a) then
    return null;
  end if;
  if v_address <<= any (array['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16',
                              '198.18.0.0/15', '224.0.0.0/3', '::/96', '::ffff:0:0/96', '64:ff9b::/96', '2002::/16', 'fc00::/7', 'fe80::/10', 'ff00::/8']::inet[]) then
    return v_host;
  end if;
  return null;
end $$;

comment on function tinydev_lib.forbidden_address(text, cidr[]) is
$$The host of a URL when it is an address of an inner network that is not among the allowed ones; null for others and for names. It is there
for the early answer: the server looks at each address that it connects to.$$;
