create or replace function tinydev_lib.subscription_fault(field text, message text, hint text default '') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.fault(422, 'subscription_invalid', subscription_fault.message, subscription_fault.hint, jsonb_build_object('field', subscription_fault.field));
end $$;

comment on function tinydev_lib.subscription_fault(text, text, text) is 'Raises TD422 subscription_invalid about one field.';

create or replace function tinydev_lib.check_subscription(definition jsonb, owner name) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new      jsonb := jsonb_strip_nulls(definition);
  v_kind     text  := definition ->> 'kind';
  v_target   text  := trim(coalesce(definition ->> 'target', ''));
  v_reach    jsonb := tinydev_lib.delivery_reach(definition ->> 'kind', trim(coalesce(definition ->> 'target', '')));
  v_warnings text[] := '{}';
  v_list     text[];
  v_text     text;
  v_number   bigint;
  v_name     record;
begin
  if coalesce(v_new ->> 'name', '') !~ '^[a-z][a-z0-9_-]{0,62}$' then
    perform tinydev_lib.subscription_fault('name', format('%L cannot be the name of a subscription', left(coalesce(v_new ->> 'name', ''), 100)),
      'use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter');
  end if;
  if v_kind is null or v_kind not in ('webhook', 'email', 'command') and not v_reach -> 'kinds' ? v_kind then
    perform tinydev_lib.subscription_fault('kind', format('%L is no kind of subscription', coalesce(v_kind, '')), 'webhook, email or command');
  end if;

  if octet_length(v_target) > 2048 then
    perform tinydev_lib.subscription_fault('target', 'the target is longer than 2048 bytes', 'shorten it');
  end if;
  if v_kind = 'webhook' then
    if v_target !~* e'^https?://[^[:space:]/?#@\\\\]+([/?#][^[:space:][:cntrl:]]*)?$' then
      perform tinydev_lib.subscription_fault('target', format('%L is no URL that a webhook can go to', left(v_target, 200)),
        case when v_target ~* '^https?://[^/?#]*@' then 'leave user and password out: by the signature the receiver knows who sends' else 'write https://host/path' end);
    end if;
    v_text := tinydev_lib.forbidden_address(v_target, array(select jsonb_array_elements_text(v_reach -> 'webhook_allow')::cidr));
    if v_text is not null and (v_reach ->> 'servers')::integer > 0 then
      perform tinydev_lib.fault(422, 'target_forbidden', format('webhooks may not go to %s, which is on an inner network', v_text),
        'who runs the server allows it with TINYDEV_WEBHOOK_ALLOW, such as TINYDEV_WEBHOOK_ALLOW=127.0.0.1/32', '{"field": "target"}');
    end if;
    if v_target ~* '^http:' and tinydev_lib.url_address(v_target) <<= any (array(select jsonb_array_elements_text(v_reach -> 'webhook_allow')::cidr)) is not true then
      v_warnings := v_warnings || 'without TLS a webhook goes only to networks that TINYDEV_WEBHOOK_ALLOW names, else each attempt fails: use https'::text;
    end if;
  elsif v_kind = 'email' then
    v_list := array(select trim(a) from unnest(string_to_array(v_target, ',')) a where trim(a) <> '');
    if cardinality(v_list) not between 1 and 20 then
      perform tinydev_lib.subscription_fault('target', 'an e-mail goes to 1 to 20 addresses', 'separate them by commas');
    end if;
    select a into v_text from unnest(v_list) a where a !~ e'^[^][:space:][:cntrl:]@<>()",;:\\\\[]{1,64}@[^][:space:][:cntrl:]@<>()",;:\\\\[]{1,255}$' limit 1;
    if found then
      perform tinydev_lib.subscription_fault('target', format('%L is no e-mail address', left(v_text, 200)), 'write ann@example.org, without a name; separate several by commas');
    end if;
    -- The one that is altered may keep whom it has.
    v_text := tinydev_lib.opted_out(check_subscription.owner, v_list, (definition ->> 'subscription_id')::bigint);
    if v_text is not null then
      perform tinydev_lib.subscription_fault('target', format('%s does not want your e-mail any more', v_text), 'leave it out; its reader ended a subscription of yours');
    end if;
    v_target := array_to_string(v_list, ', ');
  elsif v_kind = 'command' then
    if not v_reach -> 'commands' ? v_target or not tinydev_lib.may_run(check_subscription.owner, v_reach -> 'command_users') then
      perform tinydev_lib.fault(422, 'command_unknown', format('there is no command %L for %I', left(v_target, 100), check_subscription.owner),
        coalesce('there are: ' || nullif(array_to_string(array(
            select c from jsonb_array_elements_text(v_reach -> 'commands') c
             where tinydev_lib.may_run(check_subscription.owner, tinydev_lib.delivery_reach('command', c) -> 'command_users')), ', '), ''),
          format('who runs the server names commands in TINYDEV_COMMANDS, and who may use them; there is none for %I', check_subscription.owner)), '{"field": "target"}');
    end if;
  end if;
  v_warnings := array_remove(v_warnings || tinydev_lib.unserved(v_kind, v_target, check_subscription.owner), null);

  v_list := array(select distinct regexp_replace(t, '^tinydev[.]', '') from jsonb_array_elements_text(v_new -> 'types') t order by 1);
  select coalesce(t, '') into v_text from unnest(v_list) t where t !~ '^[a-z_.*]{1,100}$' or t is null limit 1;
  if found then
    perform tinydev_lib.subscription_fault('types', format('%L is no type of events', left(v_text, 100)), 'write view.refreshed or view.*');
  elsif cardinality(v_list) > 100 then
    perform tinydev_lib.subscription_fault('types', 'there may be 100 types', 'write view.* for all about views');
  end if;
  v_new := v_new || jsonb_build_object('types', case when v_list <> '{}' then to_jsonb(v_list) end);
  v_warnings := v_warnings || array(
    select format('TinyDevCRM records no events of the type %s: nothing is sent of it unless a program of yours does', t)
      from unnest(v_list) t where strpos(t, '*') = 0 and t <> all (tinydev_lib.event_types()));
  v_list := array(select distinct case when s ~ '[.*]' then s when s <> '' then format('%I.%s', check_subscription.owner, s) end from jsonb_array_elements_text(v_new -> 'subjects') s order by 1);
  select s into v_text from unnest(v_list) s where length(s) > 300 or s ~ '[[:cntrl:]]' or s is null limit 1;
  if found or cardinality(v_list) > 100 then
    perform tinydev_lib.subscription_fault('subjects', 'there may be 100 subjects of 1 to 300 characters', 'write ann.prices or ann.*');
  end if;
  v_new := v_new || jsonb_build_object('subjects', case when v_list <> '{}' then to_jsonb(v_list) end);

  v_new := v_new || jsonb_build_object('condition', tinydev_lib.check_condition(v_new ->> 'condition'));
  if v_new ->> 'attach' <> '' then
    select * into v_name from tinydev_lib.find_relation(v_new ->> 'attach', 'any') f;
    if not has_table_privilege(check_subscription.owner, v_name.relation_id, 'select') then
      perform tinydev_lib.fault(403, 'not_readable', format('%I may not read %s', check_subscription.owner, v_name.full_name), 'ask its owner to share it', '{"field": "attach"}');
    end if;
    if current_user = check_subscription.owner then
      perform tinydev_lib.require_data(v_name.relation_id);
    end if;
    v_new := v_new || jsonb_build_object('attach', v_name.full_name);
  else
    v_new := v_new || '{"attach": null}';
  end if;

  if jsonb_typeof(v_new -> 'options') is distinct from 'object' then
    perform tinydev_lib.subscription_fault('options', 'the options are no JSON object', 'e-mail has {"subject":"…","body":"…","chart":"bar"}');
  end if;
  if v_kind = 'email' then
    select k into v_text from jsonb_object_keys(v_new -> 'options') k where k not in ('subject', 'body', 'chart') limit 1;
    if found then
      perform tinydev_lib.subscription_fault('options', format('there is no option %L', v_text), 'e-mail has subject, body and chart');
    end if;
    if coalesce(v_new -> 'options' ->> 'chart', 'bar') <> 'bar' then
      perform tinydev_lib.subscription_fault('options', format('there is no chart %L', v_new -> 'options' ->> 'chart'), 'bar');
    end if;
    if exists (select from jsonb_each(v_new -> 'options') o where jsonb_typeof(o.value) <> 'string' or length(o.value #>> '{}') > 20000) then
      perform tinydev_lib.subscription_fault('options', 'a template is a text of up to 20,000 characters');
    end if;
  elsif v_new -> 'options' <> '{}' then
    perform tinydev_lib.subscription_fault('options', format('the kind %s has no options', v_kind));
  end if;
  if v_kind <> 'email' and (v_new ->> 'digest_seconds')::integer > 0 then
    perform tinydev_lib.subscription_fault('digest_seconds', format('the kind %s sends each event by itself', v_kind), 'only e-mail is collected');
  end if;
  if v_new ->> 'rearm' not in ('each', 'once', 'every') then
    perform tinydev_lib.subscription_fault('rearm', format('%L is no way to rearm', left(v_new ->> 'rearm', 100)), 'each event; once until recovery; every, with rearm_seconds');
  elsif (v_new ->> 'rearm' = 'every') <> (v_new ? 'rearm_seconds') then
    perform tinydev_lib.subscription_fault('rearm_seconds', 'rearm_seconds goes with every, and with nothing else', 'each event; once until recovery; every, with rearm_seconds');
  end if;
  for v_name in
    select * from (values ('attach_rows', 1, 1000), ('rearm_seconds', 1, 31536000), ('digest_seconds', 0, 604800), ('timeout_seconds', 1, 300), ('pause_after_seconds', 60, 31536000)) l(field, lowest, highest)
  loop
    v_number := (v_new ->> v_name.field)::bigint;
    if v_number not between v_name.lowest and v_name.highest then
      perform tinydev_lib.subscription_fault(v_name.field, format('%s is %s; it has to be %s to %s', v_name.field, v_number, v_name.lowest, v_name.highest));
    end if;
  end loop;
  if jsonb_array_length(v_new -> 'retry_seconds') > 20
     or exists (select from jsonb_array_elements_text(v_new -> 'retry_seconds') r where r is null or r::bigint not between 1 and 604800) then
    perform tinydev_lib.subscription_fault('retry_seconds', 'retry_seconds has up to 20 waits of 1 to 604800 seconds', 'an empty list gives up at the first failure');
  end if;
  return v_new || jsonb_build_object('target', v_target, 'warnings', v_warnings);
end $$;

comment on function tinydev_lib.check_subscription(jsonb, name) is
$$Checks the definition of a subscription, gives names in full and lists sorted, and adds "warnings". Errors: TD422 subscription_invalid with
"field", target_forbidden, command_unknown, condition_invalid; TD404 relation_not_found; TD403 not_readable, foreign_code.$$;
