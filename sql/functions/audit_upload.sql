create or replace function tinydev_impl.audit_upload() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_upload record;
begin
  if tg_op = 'DELETE' then
    v_upload := old;
  else
    v_upload := new;
  end if;
  perform tinydev_impl.audit(case tg_op when 'INSERT' then 'table.load' when 'UPDATE' then 'table.load_changed' else 'table.load_removed' end,
    format('%I.%I', v_upload.workspace, v_upload.table_name), '',
    jsonb_build_object('upload_id', v_upload.upload_id, 'rows', v_upload.row_count, 'body_bytes', v_upload.body_bytes, 'sha256', v_upload.sha256));
  return null;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev.upload'::pg_catalog.regclass and tgname = 't80_audit') then
    create trigger t80_audit after insert or update or delete on tinydev.upload for each row execute function tinydev_impl.audit_upload();
  end if;
end $$;
