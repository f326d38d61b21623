-- In parts, and compared with what they would be written as: one expression for all of it costs more than a millisecond each time.
create or replace function tinydev_lib.job_arguments(command text) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_match text[] := regexp_match(command,
    '^call tinydev[.]refresh[(]''((?:[a-z_][a-z0-9_]*|"(?:[^"'']|""|'''')+")[.](?:[a-z_][a-z0-9_]*|"(?:[^"'']|""|'''')+"))'', cause => ''schedule''(.*)[)]$');
  v_rest  text := v_match[2];
  v       text[];
begin
  if v_match is null then
    return null;
  end if;
  if v_rest = '' then
    return array[v_match[1], null, null, null, 'skip', 'once', null, '0', null, 'none', null];
  end if;
  v := array[v_match[1], substring(v_rest from ', every_seconds => ([0-9]{1,2})'), substring(v_rest from ', schedule => ''([^'']+)'''),
    substring(v_rest from ', time_zone => ''([A-Za-z0-9_+/-]+)'''), substring(v_rest from ', overlap => ''([a-z_]+)'''), substring(v_rest from ', missed => ''([a-z]+)'''),
    substring(v_rest from ', timeout_seconds => ([0-9]{1,6})'), substring(v_rest from ', retries => ([0-9]{1,2})'),
    substring(v_rest from ', after => ''((?:[^'']|'''')+)'''), substring(v_rest from ', track_changes => ''([a-z]+)'''), substring(v_rest from ', wave => (true)')];
  if v_rest = concat(', every_seconds => ' || v[2], ', schedule => ''' || v[3] || ''', time_zone => ''' || v[4] || '''', ', overlap => ''' || v[5] || '''', ', missed => ''' || v[6] || '''',
                     ', timeout_seconds => ' || v[7], ', retries => ' || v[8],
                     ', after => ''' || v[9] || '''', ', track_changes => ''' || v[10] || '''', ', wave => ' || v[11])
     and length(coalesce(v[4], '')) <= 60 and coalesce(v[5], 'queue') in ('queue', 'queue_one') and coalesce(v[6], 'all') in ('none', 'all') and coalesce(v[10], 'rows') in ('counts', 'keys', 'rows') then
    return v[1:4] || array[coalesce(v[5], 'skip'), coalesce(v[6], 'once'), v[7], coalesce(v[8], '0'), v[9], coalesce(v[10], 'none'), v[11]];
  end if;
  return null;
end $$;

comment on function tinydev_lib.job_arguments(text) is
$$The arguments of a command that tinydev.schedule wrote: view as it is quoted, every_seconds, schedule, time_zone, overlap, missed, timeout_seconds, retries, after
as it is quoted, track_changes, wave (true or null); the second to fourth, timeout_seconds and after are null where it has none. Null for any other command.$$;
