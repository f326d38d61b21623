create or replace function tinydev.drop_trigger(name text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'drop_trigger', jsonb_build_object('name', name, 'dry_run', dry_run)) returning answer into v_answer;
  return v_answer - '{state,trigger_name}'::text[];
end $$;

comment on function tinydev.drop_trigger(text, boolean) is
$$Ends a trigger of yours, for administrators another user's as owner.name; it notifies for no event that is placed later. Answers
{"dropped":"prices","owner":"ann"}; with dry_run {"sql":[…]}. Errors: TD404 trigger_not_found.$$;

create or replace function tinydev_impl.remove_trigger(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name   text := coalesce(p_arguments ->> 'name', '');
  v_owner  text := coalesce(trim(both '"' from substring(v_name from '^(.*)[.][^.]*$')), p_role);
  v_old    record;
  v_answer jsonb;
begin
  select m.* into v_old
    from tinydev_impl.made_trigger m
   where m.owner = v_owner and m.name = regexp_replace(v_name, '^.*[.]', '')
     and (m.owner = p_role or pg_has_role(p_role, 'tinydev_admin', 'member'))
   order by m.request_id limit 1;
  if not found then
    perform tinydev_lib.fault(404, 'trigger_not_found', format('you have no trigger %s', left(v_name, 200)), 'select owner, name from tinydev.trigger lists what there is');
  end if;
  if (p_arguments ->> 'dry_run')::boolean then
    return tinydev_lib.plan(array[format('drop trigger %I on tinydev_impl.event', v_old.trigger_name)]);
  end if;
  perform tinydev_impl.audit('drop trigger', format('%I.%s', v_old.owner, v_old.name), p_detail => jsonb_strip_nulls(jsonb_build_object('reason', p_arguments -> 'reason')));
  v_answer := jsonb_build_object('dropped', v_old.name, 'owner', v_old.owner);
  delete from tinydev_impl.request r where r.request_id = v_old.request_id;
  if found then
    return v_answer;  -- it was not made yet
  end if;
  perform tinydev_impl.ask_for_triggers();
  return v_answer || jsonb_build_object('state', 'pending', 'trigger_name', v_old.trigger_name);
end $$;

comment on function tinydev_impl.remove_trigger(name, jsonb) is
$$What tinydev.drop_trigger does. As with tinydev_impl.put_trigger the answer stays until the trigger is removed, for which nobody may be reading the log.$$;
