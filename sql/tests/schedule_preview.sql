-- The shape that the page and the API show.
do $$
declare
  v_preview jsonb;
  v_detail  text;
begin
  v_preview := tinydev.preview_schedule(' 0 0 * * * ', 'UTC', 2, '2026-12-31 12:00Z');
  assert v_preview = '{"schedule": "0 0 * * *", "words": "at 00:00 every day", "time_zone": "UTC",
    "runs": ["2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"], "warnings": []}', v_preview::text;

  perform set_config('timezone', 'Asia/Kolkata', true);
  v_preview := tinydev.preview_schedule('30 2 * * *', 'Europe/Berlin', 2, '2027-03-27 12:00Z');
  assert v_preview -> 'runs' = '["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]', v_preview::text;
  assert v_preview #>> '{warnings,0}' =
    'the clock in Europe/Berlin skips a time of this schedule on 2027-03-28, so it runs at 03:00 that day', v_preview::text;

  v_preview := tinydev.preview_schedule('5 seconds', after => '2027-01-01 00:00:00.25Z');
  assert v_preview #>> '{runs,0}' = '2027-01-01T00:00:05.250000Z', v_preview::text;
  assert jsonb_array_length(v_preview -> 'runs') = 5, v_preview::text;

  v_preview := tinydev.preview_schedule('0 0 31 4 *');
  assert v_preview -> 'runs' = '[]' and v_preview ->> 'words' = 'never' and jsonb_array_length(v_preview -> 'warnings') = 1,
    v_preview::text;

  begin
    perform tinydev.preview_schedule('nonsense');
  exception when sqlstate 'TD422' then
    get stacked diagnostics v_detail = pg_exception_detail;
  end;
  assert v_detail::jsonb ->> 'code' = 'schedule_invalid', 'nonsense is refused';
end $$;
