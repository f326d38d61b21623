create or replace function tinydev_impl.not_audited(p_sqlstate text, p_message text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- These a user can bring about on purpose, and they would fail the statement by themselves a moment later.
  if left(p_sqlstate, 2) in ('40', '53', '54') then
    perform tinydev_lib.raise(p_sqlstate, p_message, '', '');
  end if;
  raise log 'tinydev: what % did could not be audited: % (%)', session_user, p_message, p_sqlstate;
end $$;

comment on function tinydev_impl.not_audited(text, text) is
$$What a trigger on others' statements does when the audit cannot be written: it tells PostgreSQL's log and lets the statement go on, unless
the error is one by which a user could slip past the audit: too deep a stack, no memory, no locks left, a serialization failure.$$;
