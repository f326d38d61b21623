create or replace function tinydev_lib.require_verifier(verifier text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part text[] := regexp_match(verifier, '^SCRAM-SHA-256[$]([1-9][0-9]{3,6}):([A-Za-z0-9+/]{22,172}={0,2})[$]([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$');
begin
  -- PostgreSQL would take what it does not recognize for a password in clear.
  if v_part is null or v_part[1]::integer < 4096 or length(v_part[2]) % 4 <> 0 then
    perform tinydev_lib.fault(422, 'verifier_invalid', 'this is no SCRAM-SHA-256 verifier',
      E'a password does not belong into SQL, where logs keep it: use tinydev user password, or \\password in psql');
  end if;
end $$;

comment on function tinydev_lib.require_verifier(text) is
$$Raises TD422 verifier_invalid unless the text is SCRAM-SHA-256$iterations:salt$stored key:server key, with at least 4096 iterations and 16
bytes of salt.$$;
