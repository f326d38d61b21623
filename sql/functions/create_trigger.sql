create or replace function tinydev.create_trigger(
  name      text,
  view      text    default null,
  types     text[]  default null,
  condition text    default null,
  channel   text    default null,
  dry_run   boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'create_trigger', jsonb_build_object('name', name, 'view', view, 'types', types, 'condition', condition, 'channel', channel, 'dry_run', dry_run))
  returning answer into v_answer;
  if create_trigger.dry_run then
    return v_answer;
  end if;
  return (select to_jsonb(t) from tinydev.trigger t where t.owner = current_user and t.name = create_trigger.name);
end $$;

comment on function tinydev.create_trigger(text, text, text[], text, text, boolean) is
$$Has NOTIFY sent to a channel for each event that fits, from the next one on that is committed after this: a real SQL trigger on the log, for LISTEN in
psql and any other program. The payload is the event's position alone: read on with tinydev.read_events. Anybody may listen to a channel, or notify it.
  view       table or view that you may read, by name, also when it is dropped and made anew; null is all of your workspace
  types      * stands for any characters; null is all: array['view.*']
  condition  SQL/JSON path predicate over the event's data that compares single values: '$.rows > 0 && $.changed == true'; or
             one of the words always, not empty (it left rows) and changed (it changed something, or that is not known)
  channel    default your name, _ and the trigger's; LISTEN folds to small letters what is not in double quotes
Only what you may see when an event is placed notifies, and the condition sees of its data what you would.
Answers {"owner":"ann","name":"prices","view":"ann.prices","types":["tinydev.view.refreshed"],"condition":null,"channel":"ann_prices",
"listen":"listen ann_prices","state":"pending",…} with the columns of tinydev.trigger; with dry_run makes nothing and answers {"sql":[…]}.
Example: select tinydev.create_trigger('prices', 'prices', types => array['view.refreshed'], condition => '$.rows > 0') ->> 'listen';
Errors: TD422 trigger_invalid with "field", condition_invalid, name_invalid; TD404 relation_not_found; TD403 not_readable;
TD409 trigger_name_taken, triggers_too_many.$$;

create or replace function tinydev_impl.put_trigger(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new jsonb := tinydev_impl.check_trigger(p_role, p_arguments);
  v_sql text[] := tinydev_impl.trigger_sql(v_new);
begin
  if exists (select from tinydev_impl.made_trigger m where m.owner = p_role and m.name = v_new ->> 'name') then
    perform tinydev_lib.fault(409, 'trigger_name_taken', format('you have a trigger %s already', v_new ->> 'name'), 'drop it, or choose another name');
  end if;
  if (select count(*) from tinydev_impl.made_trigger m where m.owner = p_role) >= 50 then
    perform tinydev_lib.fault(409, 'triggers_too_many', format('%I has 50 triggers', p_role), 'drop one that is not needed any more, or have a subscription instead');
  end if;
  -- Each costs each placing some 10 µs.
  if (select count(*) from tinydev_impl.made_trigger m) >= 1000 then
    perform tinydev_lib.fault(409, 'triggers_too_many', 'the log has 1,000 triggers, of all users', 'have a subscription instead, or ask an administrator to drop what is not needed');
  end if;
  if (p_arguments ->> 'dry_run')::boolean then
    return tinydev_lib.plan(v_sql);
  end if;
  perform tinydev_impl.audit('create trigger', format('%I.%s', p_role, v_new ->> 'name'), array_to_string(v_sql, E';\n'), v_new - '{owner,name}'::text[]);
  perform tinydev_impl.ask_for_triggers();
  return jsonb_build_object('state', 'pending', 'trigger_name', tinydev_impl.trigger_name(v_new), 'definition', v_new);
end $$;

comment on function tinydev_impl.put_trigger(name, jsonb) is
$$What tinydev.create_trigger does, from its arguments, which are as a user gave them. The answer stays as a row of tinydev_impl.request until who
places events makes the trigger: CREATE TRIGGER locks the log against writing until the transaction ends, and a user's may last for ever.$$;
