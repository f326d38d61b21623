create or replace function tinydev_lib.find_subscription(subscription text) returns tinydev.subscription
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found tinydev.subscription;
  v_others text;
  v_parts text[] := regexp_match(find_subscription.subscription, '^(?:(.*)[.])?([^.]*)$');
begin
  select s.* into v_found from tinydev.subscription s
   where s.name = v_parts[2] and (v_parts[1] is null and s.owner = current_user or v_parts[1] in (s.owner::text, quote_ident(s.owner)));
  if not found then
    -- Those of others that an administrator may have meant.
    select string_agg(format('%I.%s', s.owner, s.name), ', ' order by s.owner) into v_others
      from (select * from tinydev.subscription s where v_parts[1] is null and s.name = v_parts[2] limit 3) s;
    perform tinydev_lib.fault(404, 'subscription_not_found', format('you have no subscription %s', coalesce(left(find_subscription.subscription, 200), 'null')),
      coalesce(format('there is %s: name another''s as owner.name', v_others), 'select owner, name from tinydev.subscription lists what there is'));
  end if;
  return v_found;
end $$;

comment on function tinydev_lib.find_subscription(text) is
$$Finds a subscription by its name: yours, or for administrators another user's as owner.name. Errors: TD404 subscription_not_found.$$;
