-- A procedure that commits has no SET clause.
create or replace procedure tinydev_impl.place_all()
language plpgsql
as $$
begin
  loop
    exit when (select p.placed from tinydev_impl.place(1000) p) operator(pg_catalog.<) 1000;
    commit;
  end loop;
end $$;

comment on procedure tinydev_impl.place_all() is 'Places all that is in the inbox, in batches; for the system job that places where no server runs.';
