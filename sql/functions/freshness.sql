create or replace view tinydev.freshness with (security_barrier) as
select pg_catalog.format('%I.%I', p.workspace, p.name) as relation, p.kind, p.owner, p.max_age_seconds, p.fresh_at,
       greatest(pg_catalog.floor(pg_catalog.date_part('epoch', p.now - p.fresh_at)), 0)::bigint as age_seconds,
       p.now >= p.due_at as is_stale, case when p.now >= p.due_at then coalesce(p.stale_since, p.due_at) end as stale_since, p.promised_at, p.relation_id
  from (
    select n.nspname as workspace, c.relname as name, case c.relkind when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end as kind,
           f.owner_name as owner, f.max_age_seconds, f.fresh_at, f.fresh_at + pg_catalog.make_interval(secs => f.max_age_seconds) as due_at,
           f.stale_since, f.promised_at, f.relation_id, pg_catalog.clock_timestamp() as now
      from tinydev_impl.freshness f
      join pg_catalog.pg_class c on c.oid = f.relation_id and pg_catalog.pg_get_userbyid(c.relowner) = f.owner_name
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where f.owner_name = current_user or pg_catalog.has_table_privilege(f.relation_id, 'select') or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
  ) p;

grant select on tinydev.freshness to tinydev_user;

comment on view tinydev.freshness is
$$What tables and views are promised not to be older than, and how old they are: yours and those that you may read, for administrators all.
tinydev.set_freshness and drop_freshness change it. Example: select relation, age_seconds, stale_since from tinydev.freshness where is_stale;$$;
comment on column tinydev.freshness.relation        is 'workspace.name, as one writes it in SQL';
comment on column tinydev.freshness.owner           is 'who promised it: the owner of the relation';
comment on column tinydev.freshness.max_age_seconds is 'how old it may be';
comment on column tinydev.freshness.fresh_at        is
$$when it was last fresh: when a view was last refreshed, made or replaced, when a table was last loaded into; of one that never was, and of what the log
has forgotten, when the promise was made$$;
comment on column tinydev.freshness.age_seconds     is 'how long that is ago';
comment on column tinydev.freshness.is_stale        is 'whether it is older than promised';
comment on column tinydev.freshness.stale_since     is 'since when it is; null while it is fresh';
comment on column tinydev.freshness.promised_at     is 'when it was first promised';
comment on column tinydev.freshness.relation_id     is 'pg_class.oid';
