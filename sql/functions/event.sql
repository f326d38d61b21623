-- runs as: installer
do $$
begin
  if not exists (select from pg_catalog.pg_policy where polrelid = 'tinydev_impl.event'::pg_catalog.regclass and polname = 'event_visible') then
    create policy event_visible on tinydev_impl.event for select to tinydev_reader
      using (tinydev_impl.may_see_event(current_user, workspace, subject_id));
  end if;
end $$;

-- No security barrier, behind which ORDER BY position LIMIT would sort the whole log. Rows are kept apart by row security on the
-- table instead, which holds because the view's owner does not bypass it, and error texts by what the view computes.
create or replace view tinydev.event as
select e.position, e.event_id, e.type, e.subject, e.subject_id, e.workspace, e.actor, e.occurred_at,
       tinydev_impl.visible_data(current_user, e.workspace, e.subject_id, e.data) as data
  from tinydev_impl.event e;

-- The view used it before.
drop function if exists tinydev_impl.visible_data(name, name, jsonb);

alter view tinydev.event owner to tinydev_reader;
grant execute on function tinydev_impl.visible_data(name, name, oid, jsonb), tinydev_impl.may_see_event(name, name, oid) to tinydev_user;
grant select on tinydev.event to tinydev_user;

comment on view tinydev.event is
$$What happened: one row for each event that you may see, by position. Positions have no holes; those you cannot see are others'.
LISTEN tinydev wakes you with the position of each new one; read on with tinydev.read_events.$$;
comment on column tinydev.event.position    is 'place in the log; a cursor is the position of the last event read';
comment on column tinydev.event.event_id    is 'order in which the event was written, before it was placed';
comment on column tinydev.event.type        is 'what happened, as noun.verb: view.refreshed, view.failed, table.loaded';
comment on column tinydev.event.subject     is 'what it happened to, as workspace.name';
comment on column tinydev.event.subject_id  is 'pg_class.oid of the subject; null when it was gone';
comment on column tinydev.event.workspace   is 'schema of the subject';
comment on column tinydev.event.actor       is 'role that did it';
comment on column tinydev.event.occurred_at is 'when it was written, in the same transaction as what it tells of';
comment on column tinydev.event.data        is 'details by type; see docs/events.md';
