create or replace view tinydev_lib.own_upload with (security_barrier) as
select u.upload_id, u.workspace, u.table_name, u.table_id, u.is_new, u.row_count, u.body_bytes, u.sha256, u.source, u.encoding, u.delimiter, u.columns,
       u.uploaded_by, u.duration_ms, u.is_forced
  from tinydev.upload u
 where u.uploaded_by = current_user
   and exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where c.oid = u.table_id and c.relname = u.table_name and n.nspname = u.workspace and pg_catalog.has_table_privilege(current_user, c.oid, 'insert'))
with check option;

grant insert (workspace, table_name, table_id, is_new, row_count, body_bytes, sha256, source, encoding, delimiter, columns, uploaded_by, duration_ms, is_forced),
      select (upload_id, table_id, sha256, is_forced) on tinydev_lib.own_upload to tinydev_user;

comment on view tinydev_lib.own_upload is
$$What tinydev.record_upload writes to: loads by the role in force (current_user) into tables that it may load into. See tinydev_lib.own_trust for
why it is a view.$$;
