-- Schedules in words.
do $$
declare
  v_case  record;
  v_words text;
begin
  for v_case in
    select * from (values
      ('1 second',             'every second'),
      ('5 seconds',            'every 5 seconds'),
      ('* * * * *',            'every minute'),
      ('*/15 * * * *',         'every 15 minutes'),
      ('0,30 * * * *',         'every 30 minutes'),
      ('*/45 * * * *',         'at minutes 0 and 45 past every hour'),
      ('0 * * * *',            'every hour'),
      ('7 * * * *',            'at minute 7 past every hour'),
      ('5 */2 * * *',          'at minute 5 past every 2nd hour'),
      ('0 */6 * * *',          'every 6 hours'),
      ('0 */5 * * *',          'at 00:00, 05:00, 10:00, 15:00 and 20:00 every day'),
      ('0 9-17 * * *',         'every hour from 09:00 to 17:00'),
      ('* 9 * * *',            'every minute from 09:00 to 09:59'),
      ('*/5 9-17 * * 1-5',     'every 5 minutes from 09:00 to 17:55 from Monday to Friday'),
      ('*/5 */2 * * *',        'every 5 minutes of every 2nd hour'),
      ('*/5 1,3 * * *',        'every 5 minutes of the hours 1 and 3'),
      ('10-20 8 * * *',        'every minute from minute 10 to 20 past hour 8'),
      ('1,2,4 9-12 * * *',     'at minutes 1, 2 and 4 past every hour from 09:00 to 12:00'),
      ('0,10,20 1,5,9 * * *',  'at minutes 0, 10 and 20 past the hours 1, 5 and 9'),
      ('0 9 * * *',            'at 09:00 every day'),
      ('0 9 * * 1-5',          'at 09:00 from Monday to Friday'),
      ('30 8,12 * * sat,sun',  'at 08:30 and 12:30 on Saturday and Sunday'),
      ('0 9 * * 1',            'at 09:00 every Monday'),
      ('0 9 * 1,7 mon',        'at 09:00 every Monday in January and July'),
      ('0 9 * 6-8 *',          'at 09:00 every day from June to August'),
      ('* * * 7 *',            'every minute in July'),
      ('0 0 1 * *',            'at 00:00 on the 1st of each month'),
      ('0 0 1-7 * *',          'at 00:00 from the 1st to the 7th of each month'),
      ('0 0 11,22,23 6-8 *',   'at 00:00 on the 11th, 22nd and 23rd of each month from June to August'),
      ('0 0 */2 * *',          'at 00:00 on every 2nd day from the 1st of each month'),
      ('0 0 29 2 *',           'at 00:00 on the 29th of February'),
      ('0 0 1,15 * 1',         'at 00:00 on the 1st and 15th of each month and also every Monday'),
      ('59 23 31 12 5',        'at 23:59 on the 31st of December and also every Friday in December'),
      ('0 0 */2 * 1',          'at 00:00 on every 2nd day from the 1st of each month, but only if that day is a Monday'),
      ('0 0 1 * 0-6',          'at 00:00 every day'),
      ('@daily',               'at 00:00 every day'),
      ('@hourly',              'every hour'),
      ('@weekly',              'at 00:00 every Sunday'),
      ('@monthly',             'at 00:00 on the 1st of each month'),
      ('@reboot',              'once each time the scheduler starts'),
      ('5-1 * * * *',          'never'),
      ('0 0 31 4 *',           'never')
    ) as c(schedule, words)
  loop
    v_words := tinydev.explain_schedule(v_case.schedule);
    assert v_words = v_case.words, format('"%s" reads "%s", not "%s"', v_case.schedule, v_words, v_case.words);
  end loop;

  if tinydev_lib.cron_version() !~ '^1\.[45]' then
    assert tinydev.explain_schedule('0 3 $ * *') = 'at 03:00 on the last day of each month', 'the last day';
    assert tinydev.explain_schedule('0 3 $ 6,9 *') = 'at 03:00 on the last day of June and September', 'the last day of two months';
  end if;
end $$;

-- Whatever pg_cron accepts has words, and the same times have the same words.
do $$
begin
  assert not exists (
    select
    from unnest(array['*', '0', '*/7', '1-5', '3,9', '50-59/3']) m,
         unnest(array['*', '0', '*/5', '8-17', '1,2,3,9']) h,
         unnest(array['*', '1', '*/3', '31', '5-9']) d,
         unnest(array['*', '2', '4,6', '3-12']) mo,
         unnest(array['*', '0', '1-5', '2,6']) w,
         lateral (select tinydev.explain_schedule(concat_ws(' ', m, h, d, mo, w)) as words) as x
    where words is null or words !~ '^(every|at|never)' or words like '%  %' or words like '% '), 'some schedule has no words';
  assert tinydev.explain_schedule('0-59/15 0-23 * * *') = tinydev.explain_schedule('*/15 * * * *'), 'the same times read the same';
  assert tinydev_lib.word_list(array['a', 'b', 'c'], 'or') = 'a, b or c', 'three words';
  assert tinydev_lib.word_list('{}') = '', 'no words';
end $$;
