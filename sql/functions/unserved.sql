create or replace function tinydev_lib.unserved(kind text, target text, owner name) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with live as (select v.kinds, v.commands from tinydev_impl.server v where v.lease_until > clock_timestamp()),
       able as (select l.commands from live l where unserved.kind = any (l.kinds))
  select case
    when not exists (select from live) then 'no server is up to deliver at the moment'
    when exists (select from able) and unserved.kind <> 'command' then null
    when unserved.kind = 'email' then 'no server sends e-mail at the moment: who runs one sets TINYDEV_SMTP_URL and TINYDEV_SMTP_FROM'
    when unserved.kind <> 'command' then format('no server delivers to the kind %s at the moment', unserved.kind)
    when exists (select from able a where tinydev_lib.may_run(unserved.owner, a.commands -> unserved.target)) then null
    when exists (select from able a where a.commands ? unserved.target) then format('%I may not use the command %s: who runs the server says who may, in TINYDEV_COMMANDS', unserved.owner, unserved.target)
    else format('no server has the command %s at the moment: who runs one names it in TINYDEV_COMMANDS', unserved.target) end
$$;

comment on function tinydev_lib.unserved(text, text, name) is
$$Why no server that is up can deliver to a kind and a target for an owner; null when one can.$$;
