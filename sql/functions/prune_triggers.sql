create or replace function tinydev_impl.prune_triggers(p_role name default null) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
  v_count   integer := 0;
begin
  for v_trigger in
    select m.owner, m.name,
           case when m.owner = p_role or not tinydev_impl.is_user(m.owner) then 'user_gone'
                when c.oid is not null and n.nspname <> m.owner and not has_table_privilege(m.owner::name, c.oid, 'select')
                  and not pg_has_role(m.owner::name, 'tinydev_admin', 'member')
                  then 'not_readable' end as reason
      from tinydev_impl.made_trigger m
      left join pg_namespace n on n.nspname = (parse_ident(m.definition ->> 'view'))[1]
      left join pg_class c on c.relnamespace = n.oid and c.relname = (parse_ident(m.definition ->> 'view'))[2]
     where p_role is null or m.owner = p_role
  loop
    if v_trigger.reason is not null then
      insert into tinydev_impl.request (role_name, verb, arguments)
      values (v_trigger.owner, 'drop_trigger', jsonb_build_object('name', v_trigger.name, 'reason', v_trigger.reason));
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end $$;

comment on function tinydev_impl.prune_triggers(name) is
$$Has the triggers removed of a user who is dropped, or without a name of all who are gone, and those on what their owners may not read any more, which
are silent already. Gives how many.$$;
