-- A procedure that commits has no SET clause.
create or replace procedure tinydev_impl.place_all()
language plpgsql
as $$
begin
  loop
    exit when (select p.placed from tinydev_impl.place(1000) p) operator(pg_catalog.<) 1000;
    commit;
  end loop;
  commit;
  loop
    exit when tinydev_impl.check_freshness(1000) operator(pg_catalog.<) 1000;
    commit;
  end loop;
  commit;
  perform tinydev_impl.enforce_limits();
  commit;
  perform tinydev_impl.watch_runs();
  commit;
  perform tinydev_impl.reconcile_runs();
  commit;
  loop
    exit when tinydev_impl.watch_jobs() operator(pg_catalog.<) 500;
    commit;
  end loop;
end $$;

comment on procedure tinydev_impl.place_all() is $$Places all that is in the inbox, in batches, checks the promises of freshness, enforces the limits of users, and
looks after runs and jobs; for the system job that does so where no server runs.$$;
