create or replace view tinydev_impl.made_trigger as
select d.definition ->> 'owner' as owner, d.definition ->> 'name' as name, d.*
  from (
    select pg_catalog.obj_description(t.oid, 'pg_trigger')::jsonb as definition, t.tgname::text as trigger_name, 'active' as state, null::text as error, null::bigint as request_id
      from pg_catalog.pg_trigger t
     where t.tgrelid = 'tinydev_impl.event'::pg_catalog.regclass and t.tgfoid = 'tinydev_impl.notify_channel()'::pg_catalog.regprocedure
       and not exists (select from tinydev_impl.request r where r.verb = 'drop_trigger' and r.answer ->> 'trigger_name' = t.tgname)
    union all
    select r.answer -> 'definition', r.answer ->> 'trigger_name', r.answer ->> 'state', r.answer ->> 'error', r.request_id
      from tinydev_impl.request r where r.verb = 'create_trigger' and r.answer is not null
  ) d;

comment on view tinydev_impl.made_trigger is
$$The triggers of users on the log, from PostgreSQL's catalogue, where their definitions stand as comments, and those that are asked for.$$;

create or replace view tinydev.trigger with (security_barrier) as
select m.owner, m.name, m.definition ->> 'view' as view,
       (select pg_catalog.array_agg('tinydev.' || t.type order by t.n)
          from pg_catalog.jsonb_array_elements_text(nullif(m.definition -> 'types', 'null')) with ordinality t(type, n)) as types,
       m.definition ->> 'condition' as condition, m.definition ->> 'channel' as channel, pg_catalog.format('listen %I', m.definition ->> 'channel') as listen,
       m.state, m.error, m.trigger_name
  from tinydev_impl.made_trigger m
 where m.owner = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.trigger to tinydev_user;

comment on view tinydev.trigger is
$$The SQL triggers on the log that notify channels: yours, for administrators everybody's, straight from PostgreSQL's catalogue.
tinydev.create_trigger and drop_trigger change them.$$;
comment on column tinydev.trigger.view         is 'table or view whose events are meant; null is all of the owner''s workspace';
comment on column tinydev.trigger.types        is 'types of events, * for any characters; null is all';
comment on column tinydev.trigger.condition    is 'SQL/JSON path predicate over the data of the event; null is none';
comment on column tinydev.trigger.channel      is 'where NOTIFY goes, with the position of the event';
comment on column tinydev.trigger.listen       is 'the statement that listens to it';
comment on column tinydev.trigger.state        is 'active; pending for the moment until the log''s next events are placed; failed, see error';
comment on column tinydev.trigger.trigger_name is 'its name on tinydev_impl.event, which \d shows';
