create or replace function tinydev_lib.url_address(url text) returns inet
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_host    text := lower(substring(url from '(?i)^https?://([[][^]]*]|[^/?#:]*)'));
  v_address inet;
begin
  v_address := case when v_host in ('localhost', 'localhost.') or v_host like '%.localhost' then '127.0.0.1' else split_part(trim(both '[]' from v_host), '%', 1) end::inet;
  -- An IPv4 address in IPv6's clothes is the one that is connected to.
  if v_address <<= '::ffff:0:0/96' then
    v_address := '0.0.0.0'::inet + (v_address - '::ffff:0:0'::inet);
  end if;
  return v_address;
exception when invalid_text_representation then
  return null;
end $$;

comment on function tinydev_lib.url_address(text) is 'The address that stands in a URL for its host; null for a name, whose address only the server finds out.';
