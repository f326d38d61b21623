create or replace function tinydev.rotate_secret(
  subscription text, secret text default null, keep_seconds integer default 86400, dry_run boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev.subscription := tinydev_lib.find_subscription(rotate_secret.subscription);
  v_secret text;
  v_answer jsonb;
begin
  if v_old.kind <> 'webhook' then
    perform tinydev_lib.fault(422, 'secret_invalid', format('%s is of the kind %s, which signs nothing', v_old.name, v_old.kind), 'only webhooks have secrets');
  end if;
  if keep_seconds is null or keep_seconds not between 0 and 2592000 then
    perform tinydev_lib.fault(422, 'secret_invalid', format('keep_seconds is %s; it has to be 0 to 2592000', coalesce(keep_seconds::text, 'null')), fields => '{"field": "keep_seconds"}');
  end if;
  v_secret := tinydev_lib.check_secret(v_old.kind, rotate_secret.secret, rotate_secret.dry_run);
  if rotate_secret.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.rotate_secret(%L%s%s)', rotate_secret.subscription,
      case when v_secret is not null then ', secret => ''…''' end, case when keep_seconds <> 86400 then format(', keep_seconds => %s', keep_seconds) end)]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'rotate_secret', jsonb_build_object('subscription_id', v_old.subscription_id, 'secret', v_secret, 'keep_seconds', keep_seconds))
  returning answer into v_answer;
  return v_answer || jsonb_build_object('name', v_old.name, 'secret', v_secret, 'warnings', to_jsonb(array_remove(array[
    case when v_old.old_secret_until is not null then 'the secret before the one that was replaced just now signs no more: only two sign at the same time' end], null)));
end $$;

comment on function tinydev.rotate_secret(text, text, integer, boolean) is
$$Gives a webhook another secret; one is made when it is missing (from PostgreSQL 13 on; the command line, HTTP and the page always make one).
Until keep_seconds have passed, a day by default, the one before signs too: each request carries both
signatures, so the receiver can change over at any time in between. Two sign at most: rotated again within that time, the oldest signs no more, of which "warnings" tells.
Answers {"name":"hook","secret":"whsec_…","old_secret_until":…,"warnings":[]}, the secret this once; with dry_run {"sql":[…]}. Errors: TD404 subscription_not_found; TD422 secret_invalid.$$;

create or replace function tinydev_impl.put_secret(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old   tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
  v_until timestamptz := clock_timestamp() + make_interval(secs => least((p_arguments ->> 'keep_seconds')::bigint, 2592000));
begin
  update tinydev_impl.subscription s
     set secret = tinydev_lib.check_secret(s.kind, p_arguments ->> 'secret', false), old_secret = s.secret, old_secret_until = v_until, version = s.version + 1
   where s.subscription_id = v_old.subscription_id;
  perform tinydev_impl.wake_servers();
  return jsonb_build_object('old_secret_until', v_until);
end $$;

comment on function tinydev_impl.put_secret(name, jsonb) is 'What tinydev.rotate_secret does.';
