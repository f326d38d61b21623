-- PostgreSQL reads an unknown name with a digit in it as a POSIX rule ("Europe/Berlin1" becomes one hour west of
-- UTC, "UTC+2" two hours west) and an abbreviation as a fixed offset ("CET" has no summer), both without a word.
create or replace function tinydev_lib.check_time_zone(time_zone text) returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_zone text := btrim(time_zone);
  v_is_known boolean;
begin
  if coalesce(v_zone, '') = '' then
    perform tinydev_lib.fault(422, 'time_zone_unknown', 'the time zone is empty', 'use a name such as Europe/Berlin or UTC');
  end if;

  v_is_known := v_zone !~ '[0-9,<>]'
    or v_zone ~* '^(etc/)?gmt[+-]?0$'
    or v_zone ~* '^etc/gmt[+-]([1-9]|1[0-4])$'
    or upper(v_zone) in ('EST5EDT', 'CST6CDT', 'MST7MDT', 'PST8PDT');

  if v_is_known then
    begin
      perform now() at time zone v_zone;
    exception when invalid_parameter_value then
      v_is_known := false;
    end;
  end if;

  if not v_is_known then
    perform tinydev_lib.fault(422, 'time_zone_unknown',
      format('the time zone "%s" is not known', left(v_zone, 60)),
      'use a name from pg_timezone_names, such as Europe/Berlin or UTC',
      jsonb_build_object('time_zone', left(v_zone, 60)));
  end if;

  if v_zone not like '%/%' and upper(v_zone) not in ('UTC', 'GMT', 'UCT', 'Z', 'ZULU')
     and exists (select from pg_catalog.pg_timezone_abbrevs a where a.abbrev = upper(v_zone)) then
    perform tinydev_lib.fault(422, 'time_zone_unknown',
      format('"%s" is an abbreviation of a fixed offset, not a time zone', v_zone),
      'use a name such as Europe/Berlin, which knows when the clocks change',
      jsonb_build_object('time_zone', v_zone));
  end if;

  return v_zone;
end $$;

comment on function tinydev_lib.check_time_zone(text) is
$$Returns the time zone without surrounding spaces, or raises time_zone_unknown (422). Only names count, such as
Europe/Berlin, UTC or Etc/GMT-2: no abbreviations (CET), no offsets and no POSIX rules (UTC+2).$$;
