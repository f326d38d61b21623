-- The installed pg_cron is asked itself: what it accepts we accept, and what it refuses we refuse. Intervals of
-- seconds are left out below 1.5, where they are ours.
do $$
declare
  v_schedule text;
  v_job_id   bigint;
  v_theirs   boolean;
  v_ours     boolean;
  v_accepted integer := 0;
  v_refused  integer := 0;
begin
  assert exists (select from pg_catalog.pg_extension where extname = 'pg_cron'), 'this test needs pg_cron';
  for v_schedule in
    select concat_ws(' ', f.minute, f.hour, f.day, f.month, f.weekday)
    from (
      select m, '*', '*', '*', '*' from unnest(array['*', '*/15', '*/59', '*/0', '*/60', '*/90', '1/20', '0-59/60', '59', '60', '5-1', '30-5',
        '1,2,3', '1,', ',1', '1,,2', '1-', '1-5/', '-5', '+5', '1;x', '*5', '**/5', '*-5', '007', '5x', 'L', '?', '$', '']) m
      union all select '0', h, '*', '*', '*' from unnest(array['23', '24', '*/23', '*/24', '9-17', '22-1', 'a']) h
      union all select '0', '0', d, '*', '*' from unnest(array['$', '$,1', '1,$', '$5', '0', '31', '32', 'L', '15W', '?', '*/31', '*/32']) d
      union all select '0', '0', '*', mo, '*' from unnest(array['0', '12', '13', 'jan', 'JAN-Dec', 'DEC-JAN', 'january', '1-feb/2']) mo
      union all select '0', '0', '*', '*', w from unnest(array['0', '7', '8', 'SUN', 'fri-mon', 'MON#2', '5L', 'monday', 'sat,sun', '*/7', '*/8']) w
    ) as f(minute, hour, day, month, weekday)
    union all select s from unnest(array['', '* * * *', '*', '0 3 $', '0 3 $ *', '* * * * * *', '@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly',
      '@annually', '@reboot', '@restart', '@Daily', '@every 5m', '@', 'every 5 minutes', '5 minutes', '#only', E'#a\n* * * * *',
      E'*\t*\t*\t*\t*', E'* * *\n* *', '4 seconds x', '5 secs']) s
    union all select s from unnest(array['5 seconds', '1 second', '59SECONDS', '59 second', '60 seconds', '0 seconds']) s
      where tinydev_lib.cron_release() >= array[1, 5]
  loop
    begin
      v_job_id := cron.schedule_in_database('schedule_grammar', v_schedule, 'select 1', current_database());
      perform cron.unschedule(v_job_id);
      v_theirs := true;
    exception when invalid_parameter_value then
      v_theirs := false;
    end;
    begin
      perform tinydev_lib.parse_schedule(v_schedule);
      v_ours := true;
    exception when sqlstate 'TD422' then
      v_ours := false;
    end;
    assert v_ours = v_theirs, format('pg_cron %s %s "%s", and we do not', tinydev_lib.cron_version(),
      case when v_theirs then 'accepts' else 'refuses' end, v_schedule);
    v_accepted := v_accepted + v_theirs::integer;
    v_refused := v_refused + (not v_theirs)::integer;
  end loop;
  assert v_accepted > 30 and v_refused > 30, format('%s accepted, %s refused', v_accepted, v_refused);
  raise notice '% accepted, % refused', v_accepted, v_refused;
end $$;
