create or replace function tinydev_lib.may_record(type text, subject text, subject_id oid, workspace name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if may_record.type !~ '^[a-z][a-z_]*[.][a-z][a-z_]*$' or length(may_record.type) > 100 then
    return false;
  end if;
  if may_record.subject_id is null then
    return may_record.workspace = current_user and left(may_record.subject, length(quote_ident(current_user)) + 1) = quote_ident(current_user) || '.';
  end if;
  return exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = may_record.subject_id and n.nspname = may_record.workspace and may_record.subject = format('%I.%I', n.nspname, c.relname)
       and (pg_get_userbyid(c.relowner) = current_user
            -- Who may load into another's table tells of it.
            or may_record.type in ('table.loaded', 'table.load_failed') and has_table_privilege(current_user, c.oid, 'insert')));
end $$;

comment on function tinydev_lib.may_record(text, text, oid, name) is
$$Whether the role in force may write an event of this type about a subject: a relation of its own, or one that is gone from its own workspace.$$;
