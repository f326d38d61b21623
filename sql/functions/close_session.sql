create or replace function tinydev_impl.close_session(p_sha256 text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
  delete from tinydev_impl.token t where t.sha256 = p_sha256 and t.kind = 'session'
$$;

comment on function tinydev_impl.close_session(text) is
$$Ends a page session for good, by the SHA-256 of its secret; nothing happens when it has ended.$$;
