create or replace function tinydev_lib.crowd_warnings(schedule text, time_zone text, runs timestamptz[], job_id bigint default null) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most  integer := current_setting('cron.max_running_jobs', true);
  v_parts text[];
  v_worst record;
begin
  -- An interval has no minute that could be another.
  if crowd_warnings.schedule is null or crowd_warnings.schedule ~* 'seconds?$' or v_most is null or (select count(*) from cron.job j where j.active) < v_most then
    return '[]';
  end if;
  select r.at, d.jobs + 1 as jobs into v_worst
    from unnest(crowd_warnings.runs, tinydev_lib.jobs_due(crowd_warnings.runs, crowd_warnings.job_id)) as d(at, jobs), lateral (select d.at) r
   order by d.jobs desc, d.at limit 1;
  if not found or v_worst.jobs <= v_most then
    return '[]';
  end if;
  v_parts := regexp_match(crowd_warnings.schedule, '^[0-9]+( [^ ]+ [^ ]+ [^ ]+ [^ ]+)$');
  return jsonb_build_array(format('%s jobs are due at %s in %s, more than the %s that pg_cron runs at a time (cron.max_running_jobs), so that some begin late; %s', v_worst.jobs,
    to_char(v_worst.at at time zone crowd_warnings.time_zone, 'YYYY-MM-DD HH24:MI'), crowd_warnings.time_zone, v_most,
    case when v_parts is not null then format('H as the minute (H%s) would spread them', v_parts[1])
         when crowd_warnings.schedule like 'at %' then 'another minute may be free'
         else 'H in the minute field would spread them' end));
end $$;

comment on function tinydev_lib.crowd_warnings(text, text, timestamptz[], bigint) is
$$A sentence when in one of a schedule's next minutes more jobs are due, of all users and with this one, than pg_cron runs at a time: ["33 jobs are due at …"], else []. Only numbers
are told of others.$$;
