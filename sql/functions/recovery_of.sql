create or replace function tinydev_lib.recovery_of(type text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case recovery_of.type
    when 'view.failed' then 'view.refreshed' when 'view.missed' then 'view.refreshed'
    when 'table.load_failed' then 'table.loaded'
    when 'view.stale' then 'view.fresh' when 'table.stale' then 'table.fresh'
    when 'subscription.paused' then 'subscription.resumed'
  end
$$;

comment on function tinydev_lib.recovery_of(text) is
$$The type of the event that ends the trouble which an event of this type tells of; null when it tells of none.$$;

create or replace function tinydev_lib.trouble_types() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select array['view.failed', 'view.missed', 'table.load_failed', 'view.stale', 'table.stale', 'subscription.paused'] $$;

comment on function tinydev_lib.trouble_types() is
$$The types of events that tell of trouble; tinydev_lib.recovery_of says what ends it.$$;
