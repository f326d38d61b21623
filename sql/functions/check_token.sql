create or replace function tinydev_impl.check_token() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most constant integer := 100;
begin
  perform tinydev_impl.require_session(new.role_name);
  if (select count(*) from tinydev_impl.token t where t.role_name = new.role_name and t.kind = 'token' and t.name <> new.name) >= c_most then
    perform tinydev_lib.fault(409, 'tokens_too_many', format('%I has %s tokens', new.role_name, c_most), 'revoke those that are no longer used: select * from tinydev.token');
  end if;
  return new;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.token'::pg_catalog.regclass and tgname = 't10_check') then
    create trigger t10_check before insert on tinydev_impl.token for each row when (new.kind = 'token') execute function tinydev_impl.check_token();
  end if;
end $$;
