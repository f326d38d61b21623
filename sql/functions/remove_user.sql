-- runs as: installer
create or replace function tinydev_lib.remove_user(name text, objects text, to_user text, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
  v_role      text := quote_ident(remove_user.name);
  v_objects   text[];
  v_code      text[];
  v_definers  text[] := '{}';
  v_ties      text[];
  v_borrowed  name[];
  v_sql       text[];
  v_warnings  text[] := '{}';
  v_answer    jsonb;
  v_detail    text;
  v_reassign  boolean := false;
  v_name      text;
  v_statement text;
begin
  if remove_user.objects is null or remove_user.objects not in ('refuse', 'drop', 'reassign') then
    perform tinydev_lib.fault(422, 'objects_invalid', format('%L cannot be done with the objects', remove_user.objects), 'refuse, drop or reassign');
  end if;
  if (remove_user.objects = 'reassign') <> (remove_user.to_user is not null) then
    perform tinydev_lib.fault(422, 'objects_invalid', 'reassigning needs a user to give the objects to, and nothing else does', 'objects => ''reassign'', to_user => ''ann''');
  end if;
  perform from tinydev_impl.instance for update;
  perform tinydev_lib.require_user(remove_user.name);
  if remove_user.name = session_user then
    perform tinydev_lib.fault(409, 'drop_self', 'nobody can drop themselves', 'ask another administrator');
  end if;
  perform tinydev_lib.require_other_admin(remove_user.name);
  if remove_user.to_user = remove_user.name then
    perform tinydev_lib.fault(422, 'objects_invalid', 'what a user owns cannot be given to the same user', 'name another user');
  elsif remove_user.to_user is not null then
    perform tinydev_lib.require_user(remove_user.to_user);
  end if;
  v_ties := tinydev_lib.foreign_ties(remove_user.name);
  if cardinality(v_ties) > 0 then
    perform tinydev_lib.fault(409, 'used_elsewhere', format('%s is tied to %s, which lies outside of this database', v_role, tinydev_lib.word_list(v_ties)),
      format('a superuser drops what is there: connect to that database and run: drop owned by %s', v_role), jsonb_build_object('places', v_ties));
  end if;
  select coalesce(array_agg(o.type || ' ' || o.identity), '{}') into v_objects from tinydev_lib.owned_objects(remove_user.name) o;
  if cardinality(v_objects) > 0 and remove_user.objects = 'refuse' then
    perform tinydev_lib.fault(409, 'user_has_objects', format('%s still owns %s%s', v_role, v_objects[1],
        case cardinality(v_objects) when 1 then '' else format(' and %s more', cardinality(v_objects) - 1) end),
      'objects => ''drop'' drops them, objects => ''reassign'' with to_user gives them to another user', jsonb_build_object('objects', v_objects));
  end if;
  v_reassign := remove_user.objects = 'reassign' and cardinality(v_objects) > 0;

  -- Only members of an owner may touch what is the owner's: of the user, of those who gave it rights, of the one who inherits.
  v_borrowed := array[remove_user.name::name] || tinydev_lib.rights_givers(remove_user.name);
  if v_reassign and remove_user.to_user::name <> all (v_borrowed) then
    v_borrowed := v_borrowed || remove_user.to_user::name;
  end if;
  foreach v_name in array v_borrowed loop
    perform tinydev_lib.require_user(v_name);
  end loop;
  v_sql := array(select format('grant %I to tinydev_roles', b) from unnest(v_borrowed) with ordinality u(b, n) order by n);
  if v_reassign then
    -- Others could have what a former user wrote run with the new owner's rights.
    v_definers := array(select p.oid::regprocedure::text from pg_proc p where p.proowner = v_role::regrole and p.prosecdef order by 1);
    v_sql := v_sql || array(select format('alter routine %s security invoker', f) from unnest(v_definers) f)
      -- The workspace first: an owner has to have the right to create where its objects are.
      || array(select format('alter schema %I owner to %I', n.nspname, remove_user.to_user) from pg_namespace n where n.nspowner = v_role::regrole and n.nspname !~ '^pg_')
      || format('reassign owned by %s to %I', v_role, remove_user.to_user);
  end if;
  v_sql := v_sql || format('drop owned by %s', v_role)
    || array(select format('revoke %I from tinydev_roles', b) from unnest(v_borrowed) with ordinality u(b, n) order by n)
    || format('drop role %s', v_role);
  if v_reassign then
    v_code := tinydev_lib.written_code(remove_user.name);
    if cardinality(v_code) > 0 then
      v_warnings := v_warnings || format('what %s wrote runs as %I from now on; read it first: %s', v_role, remove_user.to_user, array_to_string(v_code, ', '));
    end if;
    if cardinality(v_definers) > 0 then
      v_warnings := v_warnings || format('these no longer run with their owner''s rights (security definer became security invoker): %s', array_to_string(v_definers, ', '));
    end if;
  end if;
  begin
    for v_turn in 1..5 loop
      -- Its sessions end first, since they may hold locks, and even if what follows is refused. One may begin anew meanwhile.
      if not remove_user.dry_run then
        perform tinydev_impl.end_sessions(remove_user.name, p_everywhere => true);
      end if;
      begin
        perform set_config('lock_timeout', '2s', true);
        if not remove_user.dry_run then
          v_answer := tinydev_impl.forget_user(remove_user.name);
        end if;
        foreach v_statement in array v_sql loop
          execute v_statement;
        end loop;
        exit;
      exception when lock_not_available or deadlock_detected or internal_error then  -- the last: tuple concurrently updated
        if v_turn = 5 or remove_user.dry_run then
          raise;
        end if;
      end;
    end loop;
    -- A dry run is refused where the drop would be.
    if remove_user.dry_run then
      raise exception using errcode = 'TD000', message = 'taken back';
    end if;
  exception when dependent_objects_still_exist then
    get stacked diagnostics v_detail = pg_exception_detail;
    v_code := string_to_array(v_detail, e'\n');
    perform tinydev_lib.fault(409, 'in_use', format('%s cannot be dropped: %s', v_role, array_to_string(v_code[1:3], '; '))
        || case when cardinality(v_code) > 3 then format(' and %s more', cardinality(v_code) - 3) else '' end,
      'drop or change those first, or reassign the objects', jsonb_build_object('dependents', v_code));
  when insufficient_privilege then
    perform tinydev_lib.fault(409, 'in_use', format('%s cannot be dropped: %s', v_role, sqlerrm),
      case when v_reassign then format('let %I create there, or drop what lies there', remove_user.to_user) else 'ask a superuser' end, '{"dependents": []}');
  when sqlstate 'TD000' then
    v_sql := array[
        format('delete from cron.job where username = %L', remove_user.name), format('select tinydev_impl.end_sessions(%L, p_everywhere => true)', remove_user.name),
        format('delete from tinydev_impl.token where role_name = %L', remove_user.name),
        format('delete from tinydev_impl.trust where %L in (role_name, owner_name)', remove_user.name),
        format('delete from tinydev_impl.identity where role_name = %L', remove_user.name),
        format('delete from tinydev_impl.user_limit where role_name = %L', remove_user.name),
        format('delete from tinydev_impl.subscription where role_name = %L', remove_user.name),
        format('delete from tinydev_impl.freshness where owner_name = %L', remove_user.name)
      ] || v_sql || format('insert into tinydev_impl.dropped_user (role_name, dropped_by) values (%L, %L)', remove_user.name, session_user);
    return tinydev_lib.plan(v_sql);
  end;
  insert into tinydev_impl.dropped_user (role_name, dropped_by) values (remove_user.name, session_user)
  on conflict (role_name) do update set dropped_at = clock_timestamp(), dropped_by = excluded.dropped_by;
  if v_reassign and exists (select from pg_namespace n where n.nspname = remove_user.name) then
    v_warnings := v_warnings || format('the schema %s now belongs to %I; the name cannot be used for a user as long as it is there', v_role, remove_user.to_user);
  end if;
  if remove_user.objects = 'reassign' and jsonb_array_length(v_answer -> 'jobs') > 0 then
    v_warnings := v_warnings || format('the jobs are gone; %I schedules the views again', remove_user.to_user);
  end if;
  v_answer := jsonb_build_object('dropped', remove_user.name, 'objects', v_objects, 'reassigned_to', case when v_reassign then remove_user.to_user end,
    'warnings', v_warnings) || v_answer;
  perform tinydev_impl.audit('drop user', remove_user.name, p_detail => jsonb_build_object(
    'objects', remove_user.objects, 'object_count', cardinality(v_objects), 'owned', v_objects[1:100], 'reassigned_to', v_answer -> 'reassigned_to'));
  return v_answer;
end $$;

alter function tinydev_lib.remove_user(text, text, text, boolean) owner to tinydev_roles;

comment on function tinydev_lib.remove_user(text, text, text, boolean) is
$$What tinydev.drop_user does, with the right to drop roles. For administrators.$$;
