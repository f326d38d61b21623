create or replace function tinydev.alter_subscription(
  subscription        text,
  target              text      default null,
  types               text[]    default null,
  subjects            text[]    default null,
  condition           text      default null,
  attach              text      default null,
  attach_rows         integer   default null,
  options             jsonb     default null,
  rearm               text      default null,
  rearm_seconds       integer   default null,
  digest_seconds      integer   default null,
  timeout_seconds     integer   default null,
  retry_seconds       integer[] default null,
  pause_after_seconds integer   default null,
  active              boolean   default null,
  dry_run             boolean   default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old     tinydev.subscription := tinydev_lib.find_subscription(alter_subscription.subscription);
  v_changes jsonb := jsonb_strip_nulls(jsonb_build_object('target', target, 'types', types, 'subjects', subjects, 'condition', condition, 'attach', attach,
    'attach_rows', attach_rows, 'options', options, 'rearm', rearm, 'rearm_seconds', rearm_seconds, 'digest_seconds', digest_seconds,
    'timeout_seconds', timeout_seconds, 'retry_seconds', retry_seconds, 'pause_after_seconds', pause_after_seconds));
  v_new     jsonb;
  v_answer  jsonb;
begin
  v_new := tinydev_lib.altered_subscription(to_jsonb(v_old), v_changes, v_old.owner);
  if alter_subscription.active and v_new ->> 'target' = '' then
    perform tinydev_lib.subscription_fault('active', format('%s has no target', v_old.name), 'give it one');
  end if;
  if alter_subscription.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.alter_subscription(%s)', concat_ws(', ', quote_literal(alter_subscription.subscription),
      tinydev_lib.subscription_arguments((select coalesce(jsonb_object_agg(c.key, coalesce(nullif(v_new -> c.key, 'null'), c.value)), '{}') from jsonb_each(v_changes) c)
        || jsonb_strip_nulls(jsonb_build_object('active', active)), false)))]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'alter_subscription', v_changes || jsonb_build_object('subscription_id', v_old.subscription_id, 'active', active))
  returning answer into v_answer;
  return tinydev.describe_subscription(format('%I.%s', v_old.owner, v_old.name)) || jsonb_build_object('warnings', v_new -> 'warnings');
end $$;

comment on function tinydev.alter_subscription(text, text, text[], text[], text, text, integer, jsonb, text, integer, integer, integer, integer[], integer, boolean, boolean) is
$$Changes a subscription of yours; what is null stays, an empty array or text takes a filter, a condition or an attachment away.
active => false pauses it; active => true lets it go on where it stopped: what failed is tried at once, with the whole plan before it.
A new target has what failed tried at once too. Answers as tinydev.describe_subscription, with "warnings"; with dry_run {"sql":[…]}.
Example: select tinydev.alter_subscription('notices', target => 'ann@example.org');
Errors: TD404 subscription_not_found; those of tinydev.create_subscription.$$;

create or replace function tinydev_lib.altered_subscription(old jsonb, changes jsonb, owner name) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changes jsonb := changes;
begin
  -- What cannot be used any more must not stand in the way of a pause.
  if changes = '{}' then
    return old || '{"warnings": []}';
  end if;
  if changes ? 'rearm' and changes ->> 'rearm' <> 'every' and not changes ? 'rearm_seconds' then
    v_changes := v_changes || '{"rearm_seconds": null}';
  elsif changes ? 'rearm_seconds' and not changes ? 'rearm' then
    v_changes := v_changes || '{"rearm": "every"}';
  end if;
  v_changes := v_changes || jsonb_build_object('name', old -> 'name', 'kind', old -> 'kind');
  -- One that has no target may stay so.
  if old ->> 'target' = '' and not changes ? 'target' then
    return tinydev_lib.check_subscription(old || v_changes || '{"target": "nobody@example.invalid"}', altered_subscription.owner) || '{"target": ""}';
  end if;
  return tinydev_lib.check_subscription(old || v_changes, altered_subscription.owner);
end $$;

comment on function tinydev_lib.altered_subscription(jsonb, jsonb, name) is
$$The definition of a subscription with changes, checked as tinydev_lib.check_subscription does; without changes as it is, and nothing is checked.$$;
