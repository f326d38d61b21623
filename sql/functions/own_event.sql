create or replace view tinydev_lib.own_event with (security_barrier) as
select i.event_id, i.type, i.subject, i.subject_id, i.workspace, i.actor, i.data
  from tinydev_impl.inbox i
 where i.actor = current_user and pg_catalog.pg_column_size(i.data) <= 524288 and tinydev_lib.may_record(i.type, i.subject, i.subject_id, i.workspace)
with check option;

grant insert (type, subject, subject_id, workspace, actor, data), select (event_id) on tinydev_lib.own_event to tinydev_user;

comment on view tinydev_lib.own_event is
$$What tinydev.record_event writes to: events of the role in force (current_user) about what is its own. See tinydev_lib.own_trust for why it is
a view.$$;
