create or replace function tinydev_impl.audit_ddl() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
set quote_all_identifiers = off
as $$
declare
  v_command record;
begin
  for v_command in
    select c.classid, c.objid, c.command_tag, c.object_type, c.object_identity
      from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp' and not c.in_extension
  loop
    if v_command.command_tag in ('GRANT', 'REVOKE') then
      perform tinydev_impl.audit_grant(lower(v_command.command_tag), lower(v_command.object_type));
    else
      perform tinydev_impl.audit(lower(v_command.command_tag), v_command.object_identity,
        tinydev_impl.definition(v_command.classid, v_command.objid, v_command.object_type),
        jsonb_build_object('object_type', lower(v_command.object_type)));
    end if;
  end loop;
exception when others then
  perform tinydev_impl.not_audited(sqlstate, sqlerrm);
end $$;

comment on function tinydev_impl.audit_ddl() is
$$Audits what the command made or changed of which an event trigger is told right now. Lets the command go on when that fails.$$;
