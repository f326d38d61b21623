-- A procedure with a SET clause may not COMMIT.
create or replace procedure tinydev.refresh_wave(schedule text, time_zone text)
language plpgsql
as $$
begin
  call tinydev.refresh(null, cause => 'schedule', schedule => refresh_wave.schedule, time_zone => refresh_wave.time_zone);
end $$;

comment on procedure tinydev.refresh_wave(text, text) is
$$What pg_cron runs for your jobs of this schedule and zone that are in a wave (see tinydev.schedule): it refreshes those that are due, one after the other in this session, each in
transactions of its own and after those of them that it reads, with the options, run and event of its job. Several sessions may run it at once; each takes what no other has.
A view whose upstream failed is skipped, with view.skipped; failures are raised once, at the end. Example: call tinydev.refresh_wave('0 3 * * *', 'UTC');$$;
