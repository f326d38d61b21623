create or replace function tinydev_lib.check_job_options(overlap text, missed text, timeout_seconds integer, retries integer, track_changes text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if check_job_options.overlap not in ('skip', 'queue_one', 'queue') then
    perform tinydev_lib.fault(422, 'overlap_invalid', format('%L is not a way to deal with overlap', check_job_options.overlap), 'skip, queue_one or queue', '{"field": "overlap"}');
  end if;
  if check_job_options.missed not in ('none', 'once', 'all') then
    perform tinydev_lib.fault(422, 'missed_invalid', format('%L is not a way to deal with missed runs', check_job_options.missed), 'none, once or all', '{"field": "missed"}');
  end if;
  if check_job_options.timeout_seconds not between 0 and 604800 then
    perform tinydev_lib.fault(422, 'timeout_invalid', format('timeout_seconds is %s; it has to be 0, for none, to 604800, a week', check_job_options.timeout_seconds), fields => '{"field": "timeout_seconds"}');
  end if;
  if check_job_options.retries not between 0 and 20 then
    perform tinydev_lib.fault(422, 'retries_invalid', format('retries is %s; it has to be 0 to 20', check_job_options.retries), fields => '{"field": "retries"}');
  end if;
  if check_job_options.track_changes not in ('none', 'counts', 'keys', 'rows') then
    perform tinydev_lib.fault(422, 'track_changes_invalid', format('%L is not a way to track changes', check_job_options.track_changes), 'none, counts, keys or rows', '{"field": "track_changes"}');
  end if;
end $$;

comment on function tinydev_lib.check_job_options(text, text, integer, integer, text) is
$$Refuses options that no job can have; null is no option. Errors: TD422 overlap_invalid, missed_invalid, timeout_invalid, retries_invalid,
track_changes_invalid.$$;
