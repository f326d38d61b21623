create or replace function tinydev.doctor_fix(dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_lib.require_admin();
  return tinydev_lib.put_mend(doctor_fix.dry_run);
end $$;

comment on function tinydev.doctor_fix(boolean) is
$$Mends what tinydev.doctor found and can be mended without a loss (is_safe), for administrators: jobs of roles that are gone, sequences that are behind,
system jobs that are paused, events that wait, logs beyond their retention, slots of runs that are over. All else it leaves to you, as its fix says.
Answers {"mended":[{"check":"sequences","subject":"cron.runid_seq","sql":…,"error":null}]}; with dry_run mends nothing and answers {"sql":[…]}.
Example: select tinydev.doctor_fix(dry_run => true);
Errors: TD403 admin_only.$$;
