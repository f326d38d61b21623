create or replace function tinydev_impl.audit_row() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old     jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_new     jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  v_row     jsonb := coalesce(v_new, v_old);
  v_changed jsonb;
  v_noun    text := case tg_table_name when 'instance' then 'settings' else tg_table_name end;
begin
  -- What the system writes by itself, and nobody did.
  select jsonb_object_agg(c.key, c.value) into v_changed
    from jsonb_each(v_row) c
   where c.key not in ('last_used_at', 'sha256', 'sql_sha256', 'instance_id', 'only_row')
     and (tg_table_name <> 'subscription' or c.key in ('subscription_id', 'role_name', 'name', 'kind', 'target', 'types', 'subjects', 'condition', 'attach', 'attach_rows',
            'options', 'rearm', 'rearm_seconds', 'digest_seconds', 'timeout_seconds', 'retry_seconds', 'pause_after_seconds', 'active', 'pause_reason', 'round'))
     and (tg_op <> 'UPDATE' or v_old -> c.key is distinct from c.value);
  if tg_op = 'UPDATE' and (v_old -> 'sha256' is distinct from v_new -> 'sha256' or v_old -> 'secret' is distinct from v_new -> 'secret') then
    v_changed := coalesce(v_changed, '{}') || '{"secret": "replaced"}';
  end if;
  if v_changed is null or v_row ->> 'kind' = 'session' then
    return null;
  end if;
  perform tinydev_impl.audit(
    v_noun || case tg_op when 'INSERT' then '.created' when 'UPDATE' then '.changed' else '.removed' end,
    case tg_table_name when 'token' then concat(v_row ->> 'role_name', '/', v_row ->> 'name')
                       when 'subscription' then format('%I.%s', v_row ->> 'role_name', v_row ->> 'name')
                       when 'trust' then v_row ->> 'owner_name'
                       else v_row ->> 'role_name' end,
    '', v_changed);
  return null;
end $$;

do $$
declare
  v_table text;
begin
  foreach v_table in array array['tinydev_impl.token', 'tinydev_impl.trust', 'tinydev_impl.user_limit', 'tinydev_impl.identity', 'tinydev_impl.instance'] loop
    if not exists (select from pg_catalog.pg_trigger where tgrelid = v_table::pg_catalog.regclass and tgname = 't80_audit') then
      execute pg_catalog.format('create trigger t80_audit after insert or update or delete on %s for each row execute function tinydev_impl.audit_row()', v_table);
    end if;
  end loop;
  -- Its cursor moves with each delivery.
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.subscription'::pg_catalog.regclass and tgname = 't80_audit') then
    create trigger t80_audit after insert or delete or update of version on tinydev_impl.subscription for each row execute function tinydev_impl.audit_row();
  end if;
end $$;
