-- Runs on the clock of a zone, across its changes, in whatever zone the session is.
do $$
declare
  v_case record;
  v_runs text;
begin
  for v_case in
    select * from (values
      ('* * * * *',    'UTC',                 2, '2026-12-31 23:58:30Z', '2026-12-31 23:59, 2027-01-01 00:00'),
      ('* * * * *',    'UTC',                 2, '2026-12-31 23:58:00Z', '2026-12-31 23:59, 2027-01-01 00:00'),
      ('0 0 1 1 *',    'UTC',                 2, '2026-06-01 00:00:00Z', '2027-01-01 00:00, 2028-01-01 00:00'),
      ('0 9 * * 1-5',  'Asia/Kolkata',        2, '2027-01-01 03:30:00Z', '2027-01-04 03:30, 2027-01-05 03:30'),
      ('0 0 29 2 *',   'UTC',                 2, '2027-01-01 00:00:00Z', '2028-02-29 00:00, 2032-02-29 00:00'),
      ('0 0 29 2 *',   'UTC',                 1, '2096-03-01 00:00:00Z', '2104-02-29 00:00'),
      ('0 0 1,15 * 1', 'UTC',                 3, '2027-01-01 00:00:00Z', '2027-01-04 00:00, 2027-01-11 00:00, 2027-01-15 00:00'),
      ('0 0 */2 * 1',  'UTC',                 2, '2027-01-01 00:00:00Z', '2027-01-11 00:00, 2027-01-25 00:00'),
      ('0 0 31 4 *',   'UTC',                 2, '2027-01-01 00:00:00Z', ''),
      ('5-1 * * * *',  'UTC',                 2, '2027-01-01 00:00:00Z', ''),
      ('@reboot',      'UTC',                 2, '2027-01-01 00:00:00Z', ''),
      ('30 seconds',   'UTC',                 2, '2027-01-01 00:00:00Z', '2027-01-01 00:00:30, 2027-01-01 00:01'),
      -- 02:30 does not exist on 28 March 2027 in Berlin: once, at the shift
      ('30 2 * * *',   'Europe/Berlin',       3, '2027-03-27 00:00:00Z', '2027-03-27 01:30, 2027-03-28 01:00, 2027-03-29 00:30'),
      -- all of 02:00 to 02:59 and 03:00 come at the shift, together
      ('*/20 2,3 * * *', 'Europe/Berlin',     3, '2027-03-28 00:30:00Z', '2027-03-28 01:00, 2027-03-28 01:20, 2027-03-28 01:40'),
      -- 02:30 comes twice on 31 October 2027 in Berlin: the first counts
      ('30 2 * * *',   'Europe/Berlin',       2, '2027-10-30 12:00:00Z', '2027-10-31 00:30, 2027-11-01 01:30'),
      ('30 2 * * *',   'Europe/Berlin',       1, '2027-10-31 00:30:00Z', '2027-11-01 01:30'),
      ('30 2 * * *',   'Europe/Berlin',       1, '2027-10-31 01:10:00Z', '2027-11-01 01:30'),
      ('30 1 * * *',   'America/New_York',    2, '2027-11-06 12:00:00Z', '2027-11-07 05:30, 2027-11-08 06:30'),
      ('30 2 * * *',   'America/New_York',    2, '2027-03-13 12:00:00Z', '2027-03-14 07:00, 2027-03-15 06:30'),
      -- Lord Howe moves by half an hour
      ('15 2 * * *',   'Australia/Lord_Howe', 2, '2027-10-02 00:00:00Z', '2027-10-02 15:30, 2027-10-03 15:15'),
      ('45 1 * * *',   'Australia/Lord_Howe', 2, '2027-04-03 12:00:00Z', '2027-04-03 14:45, 2027-04-04 15:15'),
      -- Samoa left out 30 December 2011
      ('0 12 30 12 *', 'Pacific/Apia',        2, '2011-12-01 00:00:00Z', '2011-12-30 10:00, 2012-12-29 22:00')
    ) as c(schedule, zone, count, after, runs)
  loop
    for i in 1..2 loop
      perform set_config('timezone', (array['UTC', 'America/New_York'])[i], true);
      v_runs := coalesce((
        select string_agg(regexp_replace(to_char(r at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ':00$', ''), ', ' order by r)
        from tinydev.next_runs(v_case.schedule, v_case.zone, v_case.count, v_case.after::timestamptz) r), '');
      assert v_runs = v_case.runs,
        format('"%s" in %s after %s runs at %s, not %s', v_case.schedule, v_case.zone, v_case.after, v_runs, v_case.runs);
    end loop;
  end loop;
end $$;

-- Against stepping through every minute of the days around both changes of a year.
do $$
declare
  v_schedule text;
  v_stepped  timestamptz[];
  v_runs     timestamptz[];
begin
  foreach v_schedule in array array['* * * * *', '*/15 * * * *', '7 */2 * * *', '30 2 * * 0', '0 0-4 * 3,10 *', '59 23 * * *'] loop
    -- A local time is due at the first minute at which the clock shows it or a later one.
    select array_agg(s.t order by s.t) into v_stepped
    from (
      select t, l, max(l) over (order by t rows between unbounded preceding and 1 preceding) as shown
      from (select t, t at time zone 'Europe/Berlin' as l
            from generate_series(timestamptz '2027-10-30 00:00Z', '2027-11-01 00:00Z', '1 minute') t
            union all
            select t, t at time zone 'Europe/Berlin'
            from generate_series(timestamptz '2028-03-25 00:00Z', '2028-03-27 00:00Z', '1 minute') t) as clock
    ) as s, lateral (select tinydev_lib.parse_schedule(v_schedule) as p offset 0) as x
    where s.shown < s.l and exists (
      select from generate_series(greatest(s.shown + interval '1 minute', s.l - interval '1 day'), s.l, '1 minute') m
      where p -> 'minutes' @> to_jsonb(extract(minute from m)::integer) and p -> 'hours' @> to_jsonb(extract(hour from m)::integer)
        and p -> 'weekdays' @> to_jsonb(extract(dow from m)::integer) and p -> 'months' @> to_jsonb(extract(month from m)::integer))
      and not (s.t = '2028-03-25 00:00Z');
    v_runs := array(
      select r from tinydev.next_runs(v_schedule, 'Europe/Berlin', 1000, '2027-10-30 00:00Z') r where r <= '2027-11-01 00:00Z'
      order by r);
    assert v_runs[1:100] = (select array_agg(t order by t) from unnest(v_stepped) t where t <= '2027-11-01 00:00Z')[1:100],
      format('"%s" differs from stepping in October', v_schedule);
    v_runs := array(
      select r from tinydev.next_runs(v_schedule, 'Europe/Berlin', 1000, '2028-03-25 00:00Z') r where r <= '2028-03-27 00:00Z'
      order by r);
    assert v_runs[1:100] = (select array_agg(t order by t) from unnest(v_stepped) t where t > '2028-03-25 00:00Z')[1:100],
      format('"%s" differs from stepping in March', v_schedule);
  end loop;
end $$;

-- The last day of a month, where this pg_cron knows it.
do $$
declare
  v_detail  text;
  v_days    text;
begin
  begin
    v_days := (select string_agg(to_char(r at time zone 'UTC', 'MM-DD'), ' ' order by r)
               from tinydev.next_runs('0 3 $ * *', 'UTC', 3, '2028-01-01 00:00Z') r);
  exception when sqlstate 'TD422' then
    get stacked diagnostics v_detail = pg_exception_detail;
  end;
  if tinydev_lib.cron_version() ~ '^1\.[45]' then
    assert v_detail::jsonb ->> 'code' = 'schedule_invalid', 'before 1.6 there is no last day';
  else
    assert v_days = '01-31 02-29 03-31', format('the last days are %s', v_days);
  end if;
end $$;

-- What is asked for wrongly is refused; nulls mean the defaults.
do $$
declare
  v_case   record;
  v_detail text;
begin
  for v_case in
    select * from (values
      ('* * * * *', 'Mars/Olympus',   5,    timestamptz '2027-01-01 00:00Z', 'time_zone_unknown'),
      ('* * * * *', 'Europe/Berlin1', 5,    '2027-01-01 00:00Z',             'time_zone_unknown'),
      ('* * * * *', 'UTC+2',          5,    '2027-01-01 00:00Z',             'time_zone_unknown'),
      ('* * * * *', 'CET',            5,    '2027-01-01 00:00Z',             'time_zone_unknown'),
      ('* * * * *', '',               5,    '2027-01-01 00:00Z',             'time_zone_unknown'),
      ('* * * * *', 'UTC',            0,    '2027-01-01 00:00Z',             'count_invalid'),
      ('* * * * *', 'UTC',            1001, '2027-01-01 00:00Z',             'count_invalid'),
      ('* * * * *', 'UTC',            5,    'infinity',                      'after_invalid'),
      ('* * * * *', 'UTC',            5,    '-infinity',                     'after_invalid'),
      ('61 * * * *', 'UTC',           5,    '2027-01-01 00:00Z',             'schedule_invalid')
    ) as c(schedule, zone, count, after, code)
  loop
    v_detail := null;
    begin
      perform tinydev.next_runs(v_case.schedule, v_case.zone, v_case.count, v_case.after);
    exception when sqlstate 'TD422' then
      get stacked diagnostics v_detail = pg_exception_detail;
    end;
    assert v_detail::jsonb ->> 'code' is not distinct from v_case.code, format('%s gave %s', v_case, v_detail);
  end loop;

  assert (select count(*) from tinydev.next_runs('* * * * *', null, null, null)) = 5, 'nulls mean the defaults';
  assert (select count(*) from tinydev.next_runs('* * * * *', count => 1000)) = 1000, 'a thousand runs can be had';
  assert (select count(*) from tinydev.next_runs('0 0 1 1 *', count => 1000)) = 41, 'runs are looked for 41 years ahead';
  assert (select min(r) > now() from tinydev.next_runs('* * * * *') r), 'runs lie after now';
  assert tinydev_lib.check_time_zone(' europe/berlin ') = 'europe/berlin', 'spaces around a zone do not matter';
  assert tinydev_lib.check_time_zone('Etc/GMT-2') = 'Etc/GMT-2', 'a fixed offset has a name';
  assert tinydev_lib.check_time_zone('America/Port-au-Prince') is not null, 'a hyphen is no offset';
end $$;
