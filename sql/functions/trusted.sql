create or replace view tinydev.trusted with (security_barrier) as
select t.owner_name as owner, t.trusted_at
  from tinydev_impl.trust t
 where t.role_name = current_user;

grant select on tinydev.trusted to tinydev_user;

comment on view tinydev.trusted is
$$The owners whose code you let run with your rights, when you read or write what is theirs. tinydev.trust and tinydev.untrust change it.$$;
comment on column tinydev.trusted.owner      is 'role whose functions, policies, triggers and views may run as you';
comment on column tinydev.trusted.trusted_at is 'since when';
