create or replace function tinydev_lib.check_after(view_id oid, view text, after text) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name    text;
  v_found   record;
  v_relkind "char";
  v_after   text[] := '{}';
  v_later   text;
begin
  if check_after.after is null then
    return null;
  end if;
  if btrim(check_after.after) = '*' then
    v_after := array(
      select format('%I.%I', n.nspname, c.relname)
        from unnest((select r.relations from tinydev_lib.reads(check_after.view_id) r)) u(id) join pg_class c on c.oid = u.id join pg_namespace n on n.oid = c.relnamespace
       where has_table_privilege(c.oid, 'select') order by 1);
    if v_after = '{}' then
      perform tinydev_lib.fault(422, 'dependency_invalid', format('%s reads no table or view that is known', check_after.view), 'name what it is to be refreshed after', '{"field": "after"}');
    end if;
  else
    foreach v_name in array tinydev_lib.split_names(check_after.after) loop
      select * into v_found from tinydev_lib.find_relation(v_name, 'any');
      if not has_table_privilege(v_found.relation_id, 'select') then
        perform tinydev_lib.fault(403, 'not_readable', format('you may not read %s', v_found.full_name), format('ask %I to share it', v_found.owner), '{"field": "after"}');
      end if;
      select c.relkind into v_relkind from pg_class c where c.oid = v_found.relation_id;
      if v_relkind = 'v' then
        perform tinydev_lib.fault(422, 'dependency_invalid', format('%s is a plain view, which nothing loads or refreshes', v_found.full_name), 'name what it reads', '{"field": "after"}');
      end if;
      if v_found.full_name <> all (v_after) then
        v_after := v_after || v_found.full_name;
      end if;
    end loop;
  end if;
  if cardinality(v_after) > 100 then
    perform tinydev_lib.fault(422, 'dependency_invalid', format('%s relations are too many; a job can run after 100', cardinality(v_after)), fields => '{"field": "after"}');
  end if;
  v_later := tinydev_lib.comes_after(check_after.view, v_after);
  if v_later is not null then
    perform tinydev_lib.fault(422, 'dependency_cycle', case when v_later = check_after.view then format('%s cannot come after itself', v_later)
        else format('%s would come after itself, since %s is refreshed after it', check_after.view, v_later) end,
      'tinydev.job.after says what each job runs after', jsonb_build_object('field', 'after', 'value', v_later));
  end if;
  return v_after;
end $$;

comment on function tinydev_lib.check_after(oid, text, text) is
$$What a job of a view is to run after, each as workspace.name: of a list of names, or of * for what the view reads; none for ''. Null for null.
Errors: TD404 relation_not_found; TD403 not_readable; TD422 dependency_invalid, dependency_cycle, name_invalid.$$;
