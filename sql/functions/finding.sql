do $$
begin
  if pg_catalog.to_regtype('tinydev_lib.finding') is null then
    create type tinydev_lib.finding as (owner name, check_name text, level text, subject text, message text, fix text, is_safe boolean);
  end if;
end $$;

comment on type tinydev_lib.finding is 'What a check of the doctor found; owner is the user whose it is, null for what is everybody''s.';
