create or replace view tinydev.subscription with (security_barrier) as
select s.subscription_id, s.role_name as owner, s.name, s.kind, s.target,
       (select pg_catalog.array_agg('tinydev.' || t.type order by t.n) from pg_catalog.unnest(s.types) with ordinality t(type, n)) as types,
       s.subjects, s.condition::text as condition, s.attach, s.attach_rows, s.options, s.rearm, s.rearm_seconds, s.digest_seconds,
       s.timeout_seconds, s.retry_seconds, s.pause_after_seconds, s.active, s.paused_at, s.pause_reason, s.failing_since, s.last_delivered_at,
       s.cursor_position as position, case when s.pause_reason is distinct from 'no_target' then tinydev_impl.waiting_events(s.subscription_id, h.position) else 0 end as behind, v.name as server,
       case when s.old_secret_until > pg_catalog.clock_timestamp() then s.old_secret_until end as old_secret_until, s.created_at,
       case when s.active and v.name is null then tinydev_lib.unserved(s.kind, s.target, s.role_name) end as unserved
  from tinydev_impl.subscription s
  cross join tinydev_impl.head h
  left join tinydev_impl.server v on v.server_id = s.holder and v.lease_until > pg_catalog.clock_timestamp()
 where s.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.subscription to tinydev_user;

comment on view tinydev.subscription is
$$Who is told of events, and how: your subscriptions, for administrators everybody's. tinydev.create_subscription, alter_subscription and
drop_subscription change them; tinydev.delivery has what was sent.$$;
comment on column tinydev.subscription.kind                is 'webhook, email, command';
comment on column tinydev.subscription.target              is 'where to: a URL, e-mail addresses separated by commas, the name of a command';
comment on column tinydev.subscription.types               is 'types of events, * for any characters; null is all';
comment on column tinydev.subscription.subjects            is 'what the events are about, workspace.name, * for any characters; null is all';
comment on column tinydev.subscription.condition           is 'SQL/JSON path predicate over the data of the event; null is all';
comment on column tinydev.subscription.attach              is 'table or view whose rows go along in data.attached';
comment on column tinydev.subscription.attach_rows         is 'how many of them at most';
comment on column tinydev.subscription.options             is 'of the kind; for e-mail subject, body and chart';
comment on column tinydev.subscription.rearm               is 'each event; once until recovery; every: once in each rearm_seconds of the clock until recovery';
comment on column tinydev.subscription.digest_seconds      is 'how long events are collected for one message; 0 sends each by itself';
comment on column tinydev.subscription.timeout_seconds     is 'how long one attempt may take';
comment on column tinydev.subscription.retry_seconds       is 'waits between the attempts; after the last one the delivery is dead';
comment on column tinydev.subscription.pause_after_seconds is 'failing for so long without any success pauses it';
comment on column tinydev.subscription.pause_reason        is 'user, failing, gone (the target answered 410), unsubscribed (its reader ended it), no_target';
comment on column tinydev.subscription.failing_since       is 'first failure since the last success';
comment on column tinydev.subscription.position            is 'cursor: all events up to here were dealt with, or have their delivery; while nothing fits it follows the log now and then';
comment on column tinydev.subscription.behind              is 'events after the cursor that fit and have no delivery yet, 0 when nothing waits; beyond 5,000 positions all count';
comment on column tinydev.subscription.server              is 'the server that delivers at the moment; null when none does';
comment on column tinydev.subscription.unserved            is 'what no server that is up has for it; null when one can deliver, or it is paused';
comment on column tinydev.subscription.old_secret_until    is 'until when the secret before the last rotation signs too';
