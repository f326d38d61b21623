create or replace function tinydev_impl.session_limits(p_role name, out max_connections integer, out statement_seconds integer, out page_rows integer)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tinydev_impl.require_session(p_role);
  select nullif(r.rolconnlimit, -1), coalesce(l.statement_seconds, i.statement_seconds), coalesce(l.page_rows, i.page_rows)
    into max_connections, statement_seconds, page_rows
    from tinydev_impl.instance i cross join pg_roles r left join tinydev_impl.user_limit l on l.role_name = r.rolname
   where r.rolname = p_role;
end $$;

comment on function tinydev_impl.session_limits(name) is
$$What the server holds the sessions of a role to: connections (null is no limit), seconds of a statement, rows of an answer that comes
in pages. Errors: TD403 not_a_user.$$;
