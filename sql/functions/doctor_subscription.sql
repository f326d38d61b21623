create or replace view tinydev_lib.doctor_subscription with (security_barrier) as
select s.role_name as owner, 'subscriptions' as check_name, 'warn' as level, pg_catalog.format('%I.%s', s.role_name, s.name) as subject,
       case when not s.active then pg_catalog.format('it was paused at %s: %s', s.paused_at, case s.pause_reason when 'gone' then 'the target wants no more (410)' else 'it had failed for too long' end)
            when s.failing_since < pg_catalog.clock_timestamp() - interval '5 minutes' then pg_catalog.format('all attempts have failed since %s; tinydev.delivery says why', s.failing_since)
            when v.name is null then pg_catalog.format('it is %s events behind, and no server delivers to it', h.position - s.cursor_position)
            else pg_catalog.format('it is %s events behind, the oldest from %s', h.position - s.cursor_position, e.occurred_at) end as message,
       case when not s.active then pg_catalog.format('select tinydev.alter_subscription(%L, active => true);  -- as %I, when the target is well', s.name, s.role_name)
            when s.failing_since < pg_catalog.clock_timestamp() - interval '5 minutes' then pg_catalog.format('select tinydev.test_subscription(%L);  -- as %I', s.name, s.role_name)
            when v.name is null then 'tinydev serve  # of a kind that can deliver it: e-mail needs TINYDEV_SMTP_URL, commands TINYDEV_COMMANDS'
            else pg_catalog.format('tinydev subscription show %s  # its deliveries say what it waits for', s.name) end as fix,
       false as is_safe
  from tinydev_impl.subscription s
  cross join tinydev_impl.head h
  left join tinydev_impl.server v on v.server_id = s.holder and v.lease_until > pg_catalog.clock_timestamp()
  left join tinydev_impl.event e on e.position = s.cursor_position + 1
 where tinydev_lib.may_diagnose(s.role_name)
   and (not s.active and s.pause_reason in ('failing', 'gone')
     or s.active and (s.failing_since < pg_catalog.clock_timestamp() - interval '5 minutes'
                   or s.cursor_position < h.position and s.digest_seconds = 0 and e.occurred_at < pg_catalog.clock_timestamp() - interval '5 minutes'));

grant select on tinydev_lib.doctor_subscription to tinydev_user, tinydev_server;

comment on view tinydev_lib.doctor_subscription is 'What the doctor finds about subscriptions that you may know of: those that fail, are behind, or were paused by their failures.';
