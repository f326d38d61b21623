create or replace function tinydev_lib.forbidden_address(url text, allowed cidr[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address inet := tinydev_lib.url_address(url);
begin
  if v_address is null or v_address <<= any (allowed) then
    return null;  -- of a name the server looks at the address that it leads to
  end if;
  -- As in pkg/deliver/guard.go; of IPv6 all that lies outside of its public addresses too.
  if v_address <<= any (array['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '168.63.129.16', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24',
                              '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3',
                              '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']::inet[])
     or family(v_address) = 6 and not v_address <<= '2000::/3' then
    return lower(substring(url from '(?i)^https?://([[][^]]*]|[^/?#:]*)'));
  end if;
  return null;
end $$;

comment on function tinydev_lib.forbidden_address(text, cidr[]) is
$$The host of a URL when it is an address of an inner network that is not among the allowed ones; null for others and for names. It is there
for the early answer: the server looks at each address that it connects to.$$;
