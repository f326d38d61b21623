create or replace function tinydev.describe_subscription(subscription text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found tinydev.subscription := tinydev_lib.find_subscription(describe_subscription.subscription);
begin
  return to_jsonb(v_found) || tinydev_lib.delivery_counts(v_found.subscription_id);
end $$;

comment on function tinydev.describe_subscription(text) is
$$A subscription as {"subscription_id":3,"owner":"ann","name":"hook","kind":"webhook","target":"https://…","types":["tinydev.view.refreshed"],"subjects":null,
"active":true,"position":41,"behind":0,"pending":0,"failing":0,"dead":0,…}, with the columns of tinydev.subscription and how many of its deliveries are
pending, failing and dead (1000 stands for more). Errors: TD404 subscription_not_found.$$;

create or replace function tinydev_lib.delivery_counts(subscription_id bigint) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'pending', (select count(*) from (select from tinydev.delivery d where d.subscription_id = delivery_counts.subscription_id and d.state = 'pending' limit 1000) c),
    'failing', (select count(*) from (select from tinydev.delivery d where d.subscription_id = delivery_counts.subscription_id and d.state = 'failing' limit 1000) c),
    'dead',    (select count(*) from (select from tinydev.delivery d where d.subscription_id = delivery_counts.subscription_id and d.state = 'dead' limit 1000) c))
$$;

comment on function tinydev_lib.delivery_counts(bigint) is 'How many deliveries of a subscription are pending, failing and dead; 1000 stands for more.';
