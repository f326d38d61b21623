-- runs as: installer
create or replace function tinydev_impl.on_code() returns event_trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_command  record;
  v_relation record;
begin
  -- Administrators' and programs' definitions are not slowed down; what they own is theirs to answer for.
  if not exists (select from pg_auth_members m join pg_roles r on r.oid = m.member where m.roleid = 'tinydev_user'::regrole and r.rolname = current_user) then
    return;
  end if;
  for v_command in select c.classid, c.objid from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp' loop
    for v_relation in
      with recursive types(id) as (
        select v_command.objid where v_command.classid = 'pg_type'::regclass
        union
        select c.castsource from pg_cast c where v_command.classid = 'pg_cast'::regclass and c.oid = v_command.objid
        union
        -- Arrays and domains are types, composite types are relations.
        select coalesce(c.reltype, d.objid)
          from types t join pg_depend d on d.refclassid = 'pg_type'::regclass and d.refobjid = t.id
          left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'c'
         where d.classid = 'pg_type'::regclass or c.oid is not null
      ), changed(id) as (
        select i.indrelid from pg_index i
         where v_command.classid = 'pg_class'::regclass and i.indexrelid = v_command.objid and (i.indexprs is not null or i.indpred is not null)
        union
        select s.stxrelid from pg_statistic_ext s
         where v_command.classid = 'pg_statistic_ext'::regclass and s.oid = v_command.objid and to_jsonb(s) ->> 'stxexprs' is not null
        union
        -- One that may have got a child or a partition.
        select i.inhparent from pg_inherits i where v_command.classid = 'pg_class'::regclass and i.inhrelid = v_command.objid
        union
        select p.partrelid from pg_partitioned_table p where v_command.classid = 'pg_class'::regclass and p.partrelid = v_command.objid
        union
        select coalesce(w.ev_class, d.objid)
          from types t join pg_depend d on d.refclassid = 'pg_type'::regclass and d.refobjid = t.id
          left join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
         where d.classid in ('pg_class'::regclass, 'pg_rewrite'::regclass)
      )
      select distinct c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind, pg_get_userbyid(c.relowner) as owner, pg_has_role(c.relowner, 'member') as is_own
        from changed x join pg_class c on c.oid = x.id join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'm', 'v') and c.relpersistence <> 't'
       order by c.oid
    loop
      if not v_relation.is_own then
        raise exception using errcode = 'dependent_objects_still_exist', message = v_relation.name || ' uses the type, and is another''s',
          hint = 'make another type';
      end if;
      -- LOCK TABLE takes no materialized view, and with a view it would lock what that reads.
      execute case v_relation.relkind
        when 'm' then format('alter materialized view %s owner to %I', v_relation.name, v_relation.owner)
        when 'v' then format('alter view %s owner to %I', v_relation.name, v_relation.owner)
        else format('lock table only %s in access exclusive mode', v_relation.name)
      end;
    end loop;
  end loop;
end $$;

alter function tinydev_impl.on_code() owner to tinydev_owner;

do $$
begin
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'tinydev_code') then
    create event trigger tinydev_code on ddl_command_end
      when tag in ('CREATE INDEX', 'CREATE STATISTICS', 'CREATE CAST', 'ALTER DOMAIN', 'ALTER TABLE', 'CREATE TABLE')
      execute function tinydev_impl.on_code();
  end if;
end $$;

comment on event trigger tinydev_code is
'TinyDevCRM: a user who adds code to a relation by a command that readers would not hold up waits for those who read it.';
