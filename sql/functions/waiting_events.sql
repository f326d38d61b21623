create or replace function tinydev_impl.waiting_events(p_subscription_id bigint, p_head bigint) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off  -- plans made of an empty table have to be good for millions
as $$
declare
  v_subscription tinydev_impl.subscription;
  v_types        text[];
  v_subjects     text[];
  v_own          text;
  v_to           bigint;
begin
  select s.* into v_subscription from tinydev_impl.subscription s where s.subscription_id = p_subscription_id;
  v_types := tinydev_lib.globs(v_subscription.types);
  v_subjects := tinydev_lib.globs(v_subscription.subjects);
  v_own := format('%I.%s', v_subscription.role_name, v_subscription.name);
  v_to := least(p_head, v_subscription.cursor_position + 5000);
  return greatest(p_head - v_to, 0) + (
    select count(*) from tinydev_impl.event e
     where e.position > v_subscription.cursor_position and e.position <= v_to
       and case when e.type = 'subscription.tested' or e.subject = v_own then e.type = 'subscription.tested' and e.subject = v_own
                else (v_types is null or e.type like any (v_types)) and (v_subjects is null or e.subject like any (v_subjects)) end
       and tinydev_impl.may_see_event(v_subscription.role_name, e.workspace, e.subject_id)
       and not exists (select from tinydev_impl.delivery d
                        where d.subscription_id = p_subscription_id and d.position = e.position and d.round = v_subscription.round));
end $$;

-- Who reads tinydev.subscription calls it; without the schema nobody can by its name.
grant execute on function tinydev_impl.waiting_events(bigint, bigint) to tinydev_user;

comment on function tinydev_impl.waiting_events(bigint, bigint) is
$$How many events up to the head of the log a subscription has still to deal with: those after its cursor that fit its types and subjects and
have no delivery yet. The cursor of one that nothing fits moves only now and then, so its distance says little. Beyond 5,000 positions all count.$$;
