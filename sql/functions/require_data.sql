create or replace function tinydev_lib.require_data(relation_id oid, access text default 'read') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_reached oid[];
  v_locked  oid[] := '{}';
  v_name    text;
  v_owner   name;
  v_trusted boolean;
  v_code    text[];
begin
  if require_data.access not in ('read', 'write', 'refresh') or require_data.access is null then
    perform tinydev_lib.fault(422, 'access_invalid', format('%L is not a way to use a relation', require_data.access), 'read, write or refresh');
  end if;
  if tinydev_lib.is_plainly_own(require_data.relation_id, require_data.access) then
    return;
  end if;
  -- Else the catalogues would be read as of before the locks.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform tinydev_lib.fault(422, 'isolation_unsupported', 'what belongs to others cannot be used safely in a transaction that is ' || current_setting('transaction_isolation'),
      'set default_transaction_isolation = ''read committed''');
  end if;
  loop
    -- Under the locks; with PostgreSQL 12, where opening a relation may run code, before them too.
    if v_locked <> '{}' or current_setting('server_version_num')::integer < 130000 then
      select pg_get_userbyid(f.owner), tinydev_lib.is_trusted(f.owner), array_agg(f.code order by f.code) into v_owner, v_trusted, v_code
        from tinydev_lib.foreign_code(require_data.relation_id, require_data.access) f
       group by f.owner order by 1 limit 1;
    end if;
    if v_owner is not null then
      select case when c.relpersistence <> 't' then c.oid::regclass::text end into v_name from pg_class c where c.oid = require_data.relation_id;
      perform tinydev_lib.fault(403, 'foreign_code',
        format('%s would run code of %s with your rights: %s', coalesce(v_name, 'the query'), case when v_trusted then 'whoever may put triggers there' else v_owner end, tinydev_lib.word_list(v_code)),
        case when v_trusted then 'drop the trigger, or if it is yours put its condition into its function'
             else format('read the code, and if you trust it: select tinydev.trust(%L)', v_owner) end,
        jsonb_build_object('relation', v_name, 'owner', v_owner, 'runs', v_code));
    end if;
    v_reached := array(select distinct r.id from tinydev_lib.reached(require_data.relation_id, require_data.access) r);
    exit when v_reached <@ v_locked;
    perform tinydev_lib.hold(require_data.relation_id, require_data.access);
    v_locked := v_locked || v_reached;
  end loop;
end $$;

comment on function tinydev_lib.require_data(oid, text) is
$$Raises TD403 foreign_code, with "relation", "owner" and "runs", unless reading a relation, writing to it ('write') or refreshing it
('refresh') touches data only: no code of another owner runs with your rights, unless you trust him. Locks what it looked at until the
end of the transaction, so call it in the transaction that goes on to touch the relation.
Commands that readers do not hold up, such as CREATE INDEX, wait because of the event trigger tinydev_code; see docs/security.md for what is
left.$$;
