-- In plpgsql, which keeps the plan: a function in SQL is planned at each call, and this one is called for each read.
create or replace function tinydev_lib.event_source() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select 'urn:uuid:' || i.instance_id from tinydev_impl.instance i);
end $$;

comment on function tinydev_lib.event_source() is
$$Names this installation, as the "source" of its events.$$;
