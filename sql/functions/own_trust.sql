create or replace view tinydev_lib.own_trust with (security_barrier) as
select t.role_name, t.owner_name from tinydev_impl.trust t where t.role_name = current_user
with check option;

grant insert on tinydev_lib.own_trust to tinydev_user;

comment on view tinydev_lib.own_trust is
$$What tinydev.trust writes to: rows of the role in force (current_user). A function with its owner's rights would have to go by who logged in,
and another's function with its owner's rights, or a foreign key's trigger, could call it in your session. It takes inserts alone: who
may delete may also lock the table that is behind it.$$;
