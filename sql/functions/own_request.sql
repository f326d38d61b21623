create or replace view tinydev_lib.own_request with (security_barrier) as
select r.role_name, r.verb, r.arguments, r.answer from tinydev_impl.request r where r.role_name = current_user
with check option;

grant insert (role_name, verb, arguments), select (answer) on tinydev_lib.own_request to tinydev_user;

comment on view tinydev_lib.own_request is
$$What verbs write to that need the owner's rights: the role in force (current_user) asks, and the answer comes back with RETURNING. See
tinydev_lib.own_trust for why it is a view.$$;

create or replace function tinydev_impl.require_own_request() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- The view looks at a row only when its triggers have run; this one has the rights of who asks. Our own functions ask for others.
  if new.role_name is distinct from current_user and current_user not in ('tinydev_owner', 'tinydev_roles') then
    raise insufficient_privilege using message = 'requests are made by yourself', hint = 'set role_name to current_user';
  end if;
  return new;
end $$;

comment on function tinydev_impl.require_own_request() is
$$Refuses a request for another role before anything of it is carried out, so that nobody's ids can be probed, nor rows locked. Errors: 42501.$$;

create or replace function tinydev_impl.carry_out() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  case new.verb
    when 'create_subscription' then new.answer := tinydev_impl.put_subscription(new.role_name, new.arguments);
    when 'alter_subscription'  then new.answer := tinydev_impl.change_subscription(new.role_name, new.arguments);
    when 'drop_subscription'   then new.answer := tinydev_impl.remove_subscription(new.role_name, new.arguments);
    when 'rotate_secret'       then new.answer := tinydev_impl.put_secret(new.role_name, new.arguments);
    when 'test_subscription'   then new.answer := tinydev_impl.send_test(new.role_name, new.arguments);
    when 'redeliver'           then new.answer := tinydev_impl.reopen(new.role_name, new.arguments);
    when 'replay'              then new.answer := tinydev_impl.rewind(new.role_name, new.arguments);
    when 'create_trigger'      then new.answer := tinydev_impl.put_trigger(new.role_name, new.arguments);
    when 'drop_trigger'        then new.answer := tinydev_impl.remove_trigger(new.role_name, new.arguments);
    when 'set_freshness'       then new.answer := tinydev_impl.put_freshness(new.role_name, new.arguments);
    when 'drop_freshness'      then new.answer := tinydev_impl.remove_freshness(new.role_name, new.arguments);
    when 'move_freshness'      then new.answer := tinydev_impl.change_freshness(new.role_name, new.arguments);
    when 'cancel_run'          then new.answer := tinydev_impl.stop_run(new.role_name, new.arguments);
    else perform tinydev_lib.fault(422, 'request_invalid', format('there is no request %L', left(new.verb, 100)), 'call the functions of the schema tinydev');
  end case;
  return new;
end $$;

create or replace function tinydev_impl.forget_request() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- What waits for who places events stays, see tinydev_impl.put_trigger.
  delete from tinydev_impl.request r where r.request_id = new.request_id and r.answer ->> 'state' is distinct from 'pending';
  return null;
end $$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.request'::pg_catalog.regclass and tgname = 't50_carry_out') then
    create trigger t10_own before insert on tinydev_impl.request for each row execute function tinydev_impl.require_own_request();
    create trigger t50_carry_out before insert on tinydev_impl.request for each row execute function tinydev_impl.carry_out();
    create trigger t50_forget after insert on tinydev_impl.request for each row execute function tinydev_impl.forget_request();
  end if;
end $$;
