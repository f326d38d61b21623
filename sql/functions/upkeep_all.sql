-- A procedure that commits has no SET clause.
create or replace procedure tinydev_impl.upkeep_all()
language plpgsql
as $$
begin
  perform tinydev_impl.upkeep();
  commit;
  loop
    exit when tinydev_impl.prune_deliveries(10000) operator(pg_catalog.<) 10000;
    commit;
  end loop;
  commit;
  perform tinydev_impl.watch_doctor();
end $$;

comment on procedure tinydev_impl.upkeep_all() is
$$All of the upkeep, for the system job: tinydev_impl.upkeep, then the deliveries, in batches that hold nobody up, and the doctor.$$;
