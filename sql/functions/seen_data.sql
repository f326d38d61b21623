create or replace function tinydev_impl.seen_data(p_role name, p_workspace name, p_subject_id oid, p_data jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- What asks for the rights of a role that is gone raises an error, and here that would stop the log.
  return case when to_regrole(quote_ident(p_role)) is null then null
              when tinydev_impl.may_see_event(p_role, p_workspace, p_subject_id) then tinydev_impl.visible_data(p_role, p_workspace, p_subject_id, p_data) end;
end $$;

comment on function tinydev_impl.seen_data(name, name, oid, jsonb) is
$$An event's data as a role sees it at this moment; null when it may not see the event. What a trigger on another's view looks at.$$;
