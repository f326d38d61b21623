create or replace function tinydev_impl.change_subscription(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old     tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
  -- With what it is now, which another session may just have changed.
  v_new     jsonb   := tinydev_lib.altered_subscription(to_jsonb(v_old), p_arguments - '{subscription_id,active}'::text[], v_old.role_name);
  v_active  boolean := (p_arguments ->> 'active')::boolean;
  v_resumes boolean := not v_old.active and v_new ->> 'target' <> '' and (coalesce(v_active, false) or v_old.pause_reason = 'no_target' and v_active is not false);
begin
  update tinydev_impl.subscription s
     set target = n.target, types = n.types, subjects = n.subjects, condition = n.condition::jsonpath, attach = n.attach, attach_rows = n.attach_rows,
         options = n.options, rearm = n.rearm, rearm_seconds = n.rearm_seconds, digest_seconds = n.digest_seconds, timeout_seconds = n.timeout_seconds,
         retry_seconds = n.retry_seconds, pause_after_seconds = n.pause_after_seconds, version = s.version + 1
    from jsonb_to_record(v_new) as n(target text, types text[], subjects text[], condition text, attach text, attach_rows integer, options jsonb,
           rearm text, rearm_seconds integer, digest_seconds integer, timeout_seconds integer, retry_seconds integer[], pause_after_seconds integer)
   where s.subscription_id = v_old.subscription_id;
  -- What waits goes to the lanes in which the server looks for it now: of a digest one, else one for each subject.
  if (v_old.digest_seconds > 0) <> ((v_new ->> 'digest_seconds')::integer > 0) then
    update tinydev_impl.delivery d
       set lane            = case when v_old.digest_seconds > 0 then d.subject else '' end,
           next_attempt_at = case when v_old.digest_seconds > 0 and d.attempt_count = 0 then null else d.next_attempt_at end
     where d.subscription_id = v_old.subscription_id and d.state in ('pending', 'failing');
  end if;
  if v_resumes or v_old.target <> v_new ->> 'target' then
    update tinydev_impl.subscription s set failing_since = null where s.subscription_id = v_old.subscription_id;
    update tinydev_impl.delivery d set next_attempt_at = clock_timestamp(), attempt_count = 0
     where d.subscription_id = v_old.subscription_id and d.state = 'failing';
  end if;
  if v_resumes then
    -- What came while nobody was to be told is not told later.
    update tinydev_impl.subscription s
       set active = true, paused_at = null, pause_reason = null,
           cursor_position = case when v_old.pause_reason = 'no_target' then h.position else s.cursor_position end,
           read_position   = case when v_old.pause_reason = 'no_target' then h.position else s.read_position end
      from tinydev_impl.head h
     where s.subscription_id = v_old.subscription_id;
    insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
    values ('subscription.resumed', format('%I.%s', v_old.role_name, v_old.name), v_old.role_name, p_role, jsonb_build_object('position',
      (select s.cursor_position from tinydev_impl.subscription s where s.subscription_id = v_old.subscription_id)));
  elsif v_old.active and not v_active then
    perform tinydev_impl.pause_subscription(v_old.subscription_id, 'user', p_role);
  end if;
  perform tinydev_impl.wake_servers();
  return '{}';
end $$;

comment on function tinydev_impl.change_subscription(name, jsonb) is 'What tinydev.alter_subscription does once all is checked.';
