create or replace function tinydev_lib.doctor_version(server_version integer, cron_version text, on_day date) returns setof tinydev_lib.finding
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with release as (
    select doctor_version.server_version / 10000 as major, doctor_version.server_version % 10000 as minor
  ), known(major, safe_minor, ends) as (
    values (12, 18, date '2024-11-21'), (13, 14, date '2025-11-13'), (14, 11, date '2026-11-12'), (15, 6, date '2027-11-11'), (16, 2, date '2028-11-09'), (17, 0, date '2029-11-08'), (18, 0, date '2030-11-14')
  )
  select null::name, 'versions', 'error', format('PostgreSQL %s.%s', r.major, r.minor),
         format('below %s.%s a superuser who refreshes a materialized view runs its owner''s code with all rights (CVE-2024-0985)', r.major, k.safe_minor),
         format('apt-get install --only-upgrade postgresql-%s  # %1$s.%s or later, then restart PostgreSQL', r.major, k.safe_minor), false
    from release r join known k using (major) where r.minor < k.safe_minor
  union all
  select null, 'versions', 'warn', format('PostgreSQL %s', r.major), format('PostgreSQL %s is not maintained any more, since %s: mistakes in it, and holes, stay', r.major, k.ends),
         'pg_upgradecluster ' || r.major || ' main  # or pg_upgrade, or a dump into PostgreSQL 17 or newer', false
    from release r join known k using (major) where k.ends < doctor_version.on_day
  union all
  select null, 'versions', 'warn', 'pg_cron ' || doctor_version.cron_version,
         format('pg_cron %s is old: it has no intervals of seconds, ignores cron.timezone, and runs jobs over libpq, which can report false failures. All is emulated or worked around', doctor_version.cron_version),
         'extensions/pg_cron/install --source pg_cron-1.6.7.tar.gz  # after removing the package; then restart PostgreSQL, and: alter extension pg_cron update', false
   where tinydev_lib.cron_release(doctor_version.cron_version) < array[1, 5]
$$;

comment on function tinydev_lib.doctor_version(integer, text, date) is 'What the doctor finds about versions on a day: minors with a known hole, majors past their end of life, an old pg_cron.';
