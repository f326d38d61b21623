create or replace function tinydev_impl.audit_sign_in(p_role name, p_method text, p_refused text default null, p_detail jsonb default '{}') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into tinydev_impl.audit (actor, door, action, subject, detail)
  values (p_role, 'http', case when p_refused is null then 'sign_in' else 'sign_in.refused' end, p_role,
          jsonb_strip_nulls(jsonb_build_object('method', p_method, 'refused', p_refused)) || coalesce(p_detail, '{}'))
$$;

comment on function tinydev_impl.audit_sign_in(name, text, text, jsonb) is
$$Notes that a role signed in to the pages (p_method token, code or oidc), or was refused with an error's code although who it is was known.
For the server alone, whose word it is.$$;
