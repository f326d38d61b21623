create or replace function tinydev_impl.end_sessions(p_role name, p_writing boolean default false, p_everywhere boolean default false) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
  v_left  integer;
begin
  for v_turn in 1..50 loop
    perform pg_stat_clear_snapshot();
    select count(pg_terminate_backend(s.pid)) into v_left
      from (select a.pid from pg_stat_activity a where a.usename = p_role and (p_everywhere or a.datname = current_database()) and a.pid <> pg_backend_pid() and (not p_writing or a.backend_xid is not null) offset 0) s;
    v_count := coalesce(v_count, v_left);
    exit when v_left = 0;
    perform pg_sleep(0.1);
  end loop;
  return v_count;
end $$;

grant execute on function tinydev_impl.end_sessions(name, boolean, boolean) to tinydev_roles;

comment on function tinydev_impl.end_sessions(name, boolean, boolean) is
$$Ends the sessions of a role in this database, with p_everywhere in all, with p_writing only those that have written and not committed, running jobs among them, and waits up to 5 s until they are gone. Answers how many there were. It holds at once,
whatever becomes of the transaction.$$;
