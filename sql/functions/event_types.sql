create or replace function tinydev_lib.event_types() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select array[
    'view.created', 'view.replaced', 'view.refreshed', 'view.failed', 'view.missed', 'view.skipped', 'view.stale', 'view.fresh', 'view.shared', 'view.unshared', 'view.dropped',
    'table.created', 'table.loaded', 'table.load_failed', 'table.stale', 'table.fresh', 'table.shared', 'table.unshared', 'table.dropped',
    'subscription.paused', 'subscription.resumed', 'subscription.tested', 'subscription.events_lost', 'delivery.dead_lettered',
    'doctor.failed', 'doctor.recovered'
  ]
$$;

comment on function tinydev_lib.event_types() is 'The types of events that TinyDevCRM records itself, as docs/events.md lists them; programs record others.';
