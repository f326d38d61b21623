-- What pg_cron reads, by version: sets of the five fields, last day, either day, never.
do $$
declare
  v_case   record;
  v_parsed jsonb;
begin
  for v_case in
    select * from (values
      ('0 9 * * 1-5',      '1.6',   'minutes',    '[0]'),
      ('0 9 * * 1-5',      '1.6',   'hours',      '[9]'),
      ('0 9 * * 1-5',      '1.6',   'weekdays',   '[1, 2, 3, 4, 5]'),
      ('0 9 * * 1-5',      '1.6',   'either_day', 'false'),
      ('  0 9 * * 1-5 ',   '1.6',   'schedule',   '"0 9 * * 1-5"'),
      ('*/20,5 * * * *',   '1.6',   'minutes',    '[0, 5, 20, 40]'),
      ('1-10/4 * * * *',   '1.6',   'minutes',    '[1, 5, 9]'),
      ('0 0 * jan,DEC *',  '1.6',   'months',     '[1, 12]'),
      ('0 0 * * Mon-fri',  '1.6',   'weekdays',   '[1, 2, 3, 4, 5]'),
      ('0 0 * * 7',        '1.6',   'weekdays',   '[0]'),
      ('0 0 * * 5-7',      '1.6',   'weekdays',   '[0, 5, 6]'),
      ('0 0 1,15 * 1',     '1.6',   'either_day', 'true'),
      ('0 0 */2 * 1',      '1.6',   'either_day', 'false'),
      ('0 0 1 * */2',      '1.6',   'either_day', 'false'),
      ('0 3 $ * *',        '1.6',   'last_day',   'true'),
      ('0 3 $ * *',        '1.6',   'days',       '[]'),
      ('0 3 $ * 1',        '1.6',   'either_day', 'true'),
      ('*/90 * * * *',     '1.4-1', 'minutes',    '[0]'),
      ('30-5 * * * *',     '1.4-1', 'minutes',    '[]'),
      ('30-5 * * * *',     '1.6',   'minutes',    '[0, 1, 2, 3, 4, 5, 30, 31]'),
      ('30-5/2 * * * *',   '1.6',   'minutes',    '[]'),
      ('#note' || chr(10) || '5 * * * *', '1.6', 'minutes', '[5]'),
      ('@weekly',          '1.6',   'weekdays',   '[0]'),
      ('@midnight',        '1.6',   'hours',      '[0]'),
      ('@yearly',          '1.5',   'months',     '[1]'),
      ('@yearly',          '1.5',   'never',      'false'),
      ('@yearly',          '1.6',   'never',      'true'),
      ('5-1 * * * *',      '1.6',   'never',      'true'),
      ('0 0 31 4 *',       '1.6',   'never',      'true'),
      ('0 0 31 4 1',       '1.6',   'never',      'false'),
      ('0 0 29 2 *',       '1.6',   'never',      'false'),
      ('0 0 30 2 */3',     '1.6',   'never',      'true'),
      ('0 0 * * fri-mon',  '1.6',   'never',      'true'),
      ('@reboot',          '1.6',   'kind',       '"reboot"'),
      ('5 seconds',        '1.6',   'kind',       '"interval"'),
      ('5 seconds',        '1.6',   'seconds',    '5'),
      ('5 seconds',        '1.6',   'warnings',   '[]'),
      (' 59SECOND ',       '1.6',   'seconds',    '59'),
      ('1 second',         '1.4-1', 'seconds',    '1'),
      ('0 0 $ * *',        '0',     'last_day',   'true')
    ) as c(schedule, version, key, value)
  loop
    v_parsed := tinydev_lib.parse_schedule(v_case.schedule, v_case.version);
    assert v_parsed -> v_case.key = v_case.value::jsonb,
      format('%s of "%s" on %s is %s, not %s', v_case.key, v_case.schedule, v_case.version, v_parsed -> v_case.key, v_case.value);
  end loop;
end $$;

-- What pg_cron accepts and does not do is said; what is plain is not warned of.
do $$
declare
  v_case     record;
  v_warnings text;
begin
  for v_case in
    select * from (values
      ('5 seconds',         '1.4-1', '%up to a minute away%'),
      ('5 seconds',         '1.5',   ''),
      ('0 0 31 4 *',        '1.6',   '%never runs: day 31 does not exist%'),
      ('5-1 * * * *',       '1.6',   '%runs backwards and it matches nothing; write 5-59,0-1%never runs%'),
      ('30-5 * * * *',      '1.6',   '%pg_cron reads it as 0-5,30-31; write 30-59,0-5'),
      ('@annually',         '1.6',   '%never runs%write 0 0 1 1 *'),
      ('@daily',            '1.6',   ''),
      ('@reboot',           '1.6',   '%each time the scheduler starts%'),
      ('0 0 3 * * *',       '1.6',   'pg_cron ignores "*" after the schedule: it reads five fields%'),
      ('0 3 * * * # x',     '1.6',   'pg_cron ignores "# x" after the schedule'),
      ('1;x * * * *',       '1.6',   'pg_cron ignores ";x" at the end of the minute field'),
      ('0 0 * * MON#2',     '1.6',   'pg_cron ignores "#2" at the end of the day of the week field'),
      ('*/90 * * * *',      '1.4-1', '%leaves only 0'),
      ('0 0 1,15 * 1',      '1.6',   '%day of the month or the day of the week matches%'),
      ('0 0 1,15 * 0-6',    '1.6',   ''),
      ('0 0 31 * *',        '1.6',   'it skips every month without a day 31; $ stands for%'),
      ('0 0 31 * *',        '1.4-1', 'it skips every month without a day 31'),
      ('0 0 31 1,3 *',      '1.6',   ''),
      ('*/15 9-17 * * 1-5', '1.6',   '')
    ) as c(schedule, version, pattern)
  loop
    v_warnings := array_to_string(array(
      select jsonb_array_elements_text(tinydev_lib.parse_schedule(v_case.schedule, v_case.version) -> 'warnings')), '; ');
    assert v_warnings like v_case.pattern,
      format('the warnings of "%s" on %s are: %s', v_case.schedule, v_case.version, v_warnings);
  end loop;
end $$;

-- What pg_cron refuses is refused with the field and a way out.
do $$
declare
  v_case    record;
  v_message text;
  v_detail  text;
  v_hint    text;
begin
  for v_case in
    select * from (values
      (null,              '1.6',   null,                'empty',              'five fields'),
      ('  ',              '1.6',   null,                'empty',              'five fields'),
      ('60 * * * *',      '1.6',   'minute',            'allowed are 0 to 59', '*/15'),
      ('* 24 * * *',      '1.6',   'hour',              'allowed are 0 to 23', '*/15'),
      ('* * 0 * *',       '1.6',   'day of the month',  'allowed are 1 to 31', '*/15'),
      ('* * * 13 *',      '1.6',   'month',             '1 to 12 and jan to dec', '*/15'),
      ('* * * * 8',       '1.6',   'day of the week',   '0 to 7 and sun to sat', '*/15'),
      ('* * * * monday',  '1.6',   'day of the week',   '0 to 7 and sun to sat', '*/15'),
      ('1/20 * * * *',    '1.6',   'minute',            'a step needs a range', '1-59/20'),
      ('*/90 * * * *',    '1.6',   'minute',            'a step goes from 1 to 59', '*/15'),
      ('*/0 * * * *',     '1.4-1', 'minute',            'a step goes from 1 to 59', '*/15'),
      ('1, * * * *',      '1.6',   'minute',            'missing after the comma', '*/15'),
      ('0 3 L * *',       '1.6',   'day of the month',  'allowed are 1 to 31', '0 3 $ * *'),
      ('0 3 1,$ * *',     '1.6',   'day of the month',  'stands where a number', '0 3 $ * *'),
      ('0 3 ? * *',       '1.6',   'day of the month',  'stands where a number', '* instead of ?'),
      ('0 3 $ * *',       '1.4-1', 'day of the month',  'needs pg_cron 1.6',   '28-31'),
      ('4294967296 * * * *', '1.6', 'minute',           'allowed are 0 to 59', '*/15'),
      ('* * * *',         '1.6',   null,                'it has 4 of the five fields', '0 9 * * 1-5'),
      ('every 5 minutes', '1.6',   null,                'not a schedule',      '*/5 * * * *'),
      ('2 hours',         '1.6',   null,                'not a schedule',      '0 */2 * * *'),
      ('30 sec',          '1.6',   null,                'not a schedule',      '30 seconds'),
      ('60 seconds',      '1.6',   'seconds',           'allowed are 1 to 59', '*/5 * * * *'),
      ('0 seconds',       '1.4-1', 'seconds',           'allowed are 1 to 59', '*/5 * * * *'),
      ('@Daily',          '1.6',   null,                'not a schedule that pg_cron knows', '@daily'),
      ('0' || repeat(',0', 500) || ' * * * *', '1.6', null, 'at most 999',    '')
    ) as c(schedule, version, field, message, hint)
  loop
    begin
      perform tinydev_lib.parse_schedule(v_case.schedule, v_case.version);
      v_detail := null;
    exception when sqlstate 'TD422' then
      get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    end;
    assert v_detail is not null, format('"%s" was not refused on %s', v_case.schedule, v_case.version);
    assert v_detail::jsonb ->> 'code' = 'schedule_invalid', format('"%s" was refused with %s', v_case.schedule, v_detail);
    assert v_detail::jsonb ->> 'field' is not distinct from v_case.field, format('"%s" was refused with %s', v_case.schedule, v_detail);
    assert strpos(v_message, v_case.message) > 0, format('"%s" was refused with: %s', v_case.schedule, v_message);
    assert strpos(v_hint, v_case.hint) > 0 or v_case.hint = '', format('"%s" was refused with the hint: %s', v_case.schedule, v_hint);
  end loop;
end $$;

-- One field alone.
do $$
begin
  assert tinydev_lib.parse_schedule_field('tue,fri', 'day of the week', 0, 7,
           array['sun','mon','tue','wed','thu','fri','sat'], array[1, 6]) -> 'values' = '[2, 5]', 'names count from low';
end $$;

-- The version is that of the extension, or 0; a word that is none is refused.
do $$
declare
  v_detail text;
begin
  assert tinydev_lib.cron_version() = coalesce(
    (select extversion from pg_catalog.pg_extension where extname = 'pg_cron'), '0'), 'the version is that of the extension';
  assert tinydev_lib.parse_schedule('0 9 * * *') = tinydev_lib.parse_schedule('0 9 * * *', tinydev_lib.cron_version()),
    'the installed version is the default';
  assert tinydev_lib.cron_release() = tinydev_lib.cron_release(tinydev_lib.cron_version()), 'the installed release is the default';
  assert tinydev_lib.cron_release('1.4-1') = array[1, 4] and tinydev_lib.cron_release('1.6.7') = array[1, 6]
    and tinydev_lib.cron_release('0') = array[0, 0] and tinydev_lib.cron_release('x') is null, 'a release is two numbers';
  begin
    perform tinydev_lib.parse_schedule('0 9 * * *', 'newest');
  exception when sqlstate 'TD422' then
    get stacked diagnostics v_detail = pg_exception_detail;
  end;
  assert v_detail::jsonb ->> 'code' = 'cron_version_invalid', 'a word is not a version';
end $$;
