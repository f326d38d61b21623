create or replace function tinydev.create_subscription(
  name                text,
  kind                text,
  target              text,
  types               text[]    default null,
  subjects            text[]    default null,
  condition           text      default null,
  attach              text      default null,
  attach_rows         integer   default 100,
  options             jsonb     default '{}',
  rearm               text      default 'each',
  rearm_seconds       integer   default null,
  digest_seconds      integer   default 0,
  timeout_seconds     integer   default 30,
  retry_seconds       integer[] default '{5,30,120,600,1800,3600,10800,21600,43200}',
  pause_after_seconds integer   default 43200,
  secret              text      default null,
  dry_run             boolean   default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new    jsonb;
  v_secret text := create_subscription.secret;
  v_answer jsonb;
begin
  v_new := tinydev_lib.check_subscription(jsonb_build_object('name', name, 'kind', kind, 'target', target, 'types', types, 'subjects', subjects, 'condition', condition,
    'attach', attach, 'attach_rows', coalesce(attach_rows, 100), 'options', coalesce(options, '{}'), 'rearm', coalesce(rearm, 'each'), 'rearm_seconds', rearm_seconds,
    'digest_seconds', coalesce(digest_seconds, 0), 'timeout_seconds', coalesce(timeout_seconds, 30),
    'retry_seconds', coalesce(retry_seconds, '{5,30,120,600,1800,3600,10800,21600,43200}'), 'pause_after_seconds', coalesce(pause_after_seconds, 43200)), current_user);
  if exists (select from tinydev.subscription s where s.owner = current_user and s.name = create_subscription.name) then
    perform tinydev_lib.fault(409, 'subscription_name_taken', format('you have a subscription %s already', create_subscription.name), 'alter or drop it, or choose another name');
  end if;
  v_secret := tinydev_lib.check_secret(create_subscription.kind, v_secret, create_subscription.dry_run);
  if create_subscription.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.create_subscription(%s)', tinydev_lib.subscription_arguments(
      v_new || case when v_secret is null then '{}' else '{"secret": "…"}' end::jsonb, true))]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'create_subscription', v_new - 'warnings' || jsonb_build_object('secret', v_secret))
  returning answer into v_answer;
  return tinydev.describe_subscription(create_subscription.name) || jsonb_strip_nulls(jsonb_build_object('secret', v_secret)) || jsonb_build_object('warnings', v_new -> 'warnings');
exception when unique_violation then
  perform tinydev_lib.fault(409, 'subscription_name_taken', format('a subscription %s was made just now', create_subscription.name), 'choose another name');
end $$;

comment on function tinydev.create_subscription(text, text, text, text[], text[], text, text, integer, jsonb, text, integer, integer, integer, integer[], integer, text, boolean) is
$$Has events that you may see sent to a target, from now on, at least once, in order for each subject; the position is the key that makes
one that comes twice known.
  kind, target         webhook: an https URL; email: addresses separated by commas; command: a name from the server's configuration
  types, subjects      * stands for any characters; null is all: array['view.*'], array['ann.*']; a name alone is in your workspace
  condition            SQL/JSON path predicate over the event's data: '$.rows > 0', or a word: always, not empty, changed
  attach, attach_rows  a table or view whose first rows go along in data.attached, read as you
  rearm                each event; once: the first trouble until the recovery, and that; every: again, once in each rearm_seconds of the clock
  digest_seconds       e-mail: one message for all that came within this time
  timeout_seconds      of one attempt
  retry_seconds        waits before the next attempts; after the last one the delivery is dead, and tinydev.redeliver sends it again
  pause_after_seconds  failing for so long without a success pauses it; it goes on where it stopped
  options              e-mail: {"subject":"…","body":"…","chart":"bar"}
  secret               webhook: whsec_ and 24 to 64 bytes in base64; one is made and shown this once when it is missing (from
                       PostgreSQL 13 on; the command line, HTTP and the page always make one)
Answers as tinydev.describe_subscription, with "secret" and "warnings"; with dry_run makes nothing and answers {"sql":[…]}.
Example: select tinydev.create_subscription('hook', 'webhook', 'https://example.org/hook', types => array['view.refreshed']) ->> 'secret';
Errors: TD422 subscription_invalid with "field", target_forbidden, command_unknown, condition_invalid, secret_invalid; TD404 relation_not_found;
TD403 not_readable, foreign_code; TD409 subscription_name_taken, subscriptions_too_many.$$;
