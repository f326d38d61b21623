create or replace function tinydev_impl.audit_grant(p_action text, p_object_type text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
  v_object record;
  v_found  boolean := false;
  v_before jsonb;
begin
  -- PostgreSQL does not tell event triggers what a grant is about: it is what this transaction changed. Its subtransactions have
  -- later numbers than its own, and visible rows of a number that is not finished can only be its own.
  for v_object in
    with own as (select txid_current() as first),
    changed as (
      select format('%I.%I', n.nspname, c.relname) as subject, c.relacl::text[] as acl, c.xmin
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where p_object_type in ('table', 'sequence') and c.relkind not in ('i', 'I', 't', 'c')
      union all
      select format('%I.%I.%I', n.nspname, c.relname, a.attname), a.attacl::text[], a.xmin
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
       where p_object_type = 'table' and a.attacl is not null
      union all
      select format('%I', n.nspname), n.nspacl::text[], n.xmin from pg_namespace n where p_object_type = 'schema'
      union all
      select p.oid::regprocedure::text, p.proacl::text[], p.xmin from pg_proc p where p_object_type in ('function', 'procedure', 'routine')
    )
    select c.subject, c.acl
      from changed c, own,
           lateral (select (c.xmin::text::bigint - own.first % 4294967296 + 4294967296) % 4294967296 as later) d
     where d.later < 1000000 and case when d.later < 1000000 then txid_status(own.first + d.later) = 'in progress' end
     order by c.subject
  loop
    v_found := true;
    -- An earlier grant of this transaction is told of already.
    if not exists (select from tinydev_impl.audit a where a.at >= transaction_timestamp() and a.actor = session_user and a.action = p_action
                      and a.subject = v_object.subject and a.detail -> 'acl' is not distinct from to_jsonb(v_object.acl)) then
      -- What was granted before our time, or by a superuser, is not known.
      select a.detail -> 'acl' into v_before from tinydev_impl.audit a
       where a.subject = v_object.subject and a.action in ('grant', 'revoke') order by a.audit_id desc limit 1;
      perform tinydev_impl.audit(p_action, v_object.subject, null, jsonb_strip_nulls(jsonb_build_object('object_type', p_object_type, 'acl', v_object.acl,
        'added', (select jsonb_agg(n) from unnest(v_object.acl) n where not coalesce(v_before ? n, false)),
        'removed', (select jsonb_agg(b) from jsonb_array_elements_text(v_before) b where b <> all (coalesce(v_object.acl, '{}'))))));
    end if;
  end loop;
  if not v_found then
    perform tinydev_impl.audit(p_action, '', null, jsonb_build_object('object_type', p_object_type));
  end if;
end $$;

comment on function tinydev_impl.audit_grant(text, text) is
$$Audits a grant or revoke with what the access list of each object that the transaction changed is now, and what it has more and less
than when it was audited last.$$;
