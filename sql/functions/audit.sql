create or replace function tinydev_impl.audit(p_action text, p_subject text, p_sql text default null, p_detail jsonb default '{}') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into tinydev_impl.audit (actor, door, action, subject, sql_sha256, detail)
  values (session_user, tinydev_impl.door(), p_action, coalesce(p_subject, ''),
          encode(sha256(convert_to(nullif(coalesce(p_sql, current_query()), ''), 'UTF8')), 'hex'), coalesce(p_detail, '{}'))
$$;

grant execute on function tinydev_impl.audit(text, text, text, jsonb) to tinydev_roles;

comment on function tinydev_impl.audit(text, text, text, jsonb) is
$$Writes one entry of the audit: what session_user does to a subject, in this transaction. p_sql is hashed, not kept: null is the client's
whole statement, '' is none, for statements that may hold a secret. p_detail must hold no secret either.$$;

create or replace view tinydev.audit with (security_barrier) as
select a.audit_id, a.at, a.actor, a.door, a.action, a.subject, a.sql_sha256, a.detail from tinydev_impl.audit a;

grant select on tinydev.audit to tinydev_admin;

comment on view tinydev.audit is
$$Who did what, when, through which door; for administrators. Users' definitions, grants, schedules, loads, tokens, trust, settings and
sign-ins; not refreshes, which tinydev.event has. Entries cannot be changed; those older than the setting audit_retention are removed.
Example: select at, actor, door, action, subject from tinydev.audit order by audit_id desc limit 20;$$;
comment on column tinydev.audit.audit_id   is 'order in which the entry was written; of two transactions the later one may commit first';
comment on column tinydev.audit.actor      is 'the role that logged in (session_user); for a sign-in the one who signed in';
comment on column tinydev.audit.door       is 'http (a session that the server opened), sql (psql or any other client), job (run by pg_cron), server (the server itself)';
comment on column tinydev.audit.action     is 'the command in lower case, such as create table or grant, or noun.verb, such as token.created';
comment on column tinydev.audit.subject    is 'what it was done to, such as ann.friends';
comment on column tinydev.audit.sql_sha256 is
$$SHA-256 in hexadecimal of what came out: the query of a view as pg_get_viewdef prints it, pg_get_functiondef of a function, likewise of
an index, a trigger and a rule; schedule, line feed and command of a job; else of the client's whole statement as it was sent, in which
parameters stand as $1. Null where there is none, or it may have held a secret.$$;
comment on column tinydev.audit.detail     is 'more by action; never the SQL itself, which may quote data';
