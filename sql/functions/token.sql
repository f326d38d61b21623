create or replace view tinydev.token with (security_barrier) as
select t.token_id, t.role_name as user_name, t.kind, t.name, t.prefix, t.read_only, t.scopes, t.created_at, t.created_by, t.expires_at, t.last_used_at,
       t.parent_id as opened_with,
       (select pg_catalog.count(*) from tinydev_impl.token s where s.parent_id = t.token_id and s.expires_at > pg_catalog.now()) as sessions
  from tinydev_impl.token t
 where t.role_name = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member');

grant select on tinydev.token to tinydev_user;

comment on view tinydev.token is
$$Your tokens and the page sessions that are open, for administrators everybody's; never the secrets, of which only the SHA-256 is kept.
tinydev.create_token and revoke_token change it. Example: select name, prefix, last_used_at from tinydev.token where kind = 'token';$$;
comment on column tinydev.token.user_name    is 'whom it speaks for';
comment on column tinydev.token.kind         is 'token, or session for a browser that is signed in to the pages';
comment on column tinydev.token.name         is 'what it was called; of a session, what it was opened with';
comment on column tinydev.token.prefix       is 'how the token begins';
comment on column tinydev.token.read_only    is 'whether it is refused all that changes something';
comment on column tinydev.token.scopes       is 'the groups of calls that it is good for; null is all';
comment on column tinydev.token.created_by   is 'who made it; null for the first token of a server, and for sessions';
comment on column tinydev.token.expires_at   is 'null is never';
comment on column tinydev.token.last_used_at is 'to the minute; null is never';
comment on column tinydev.token.opened_with  is 'token_id of the token that a session ends with; null after a sign-on elsewhere';
comment on column tinydev.token.sessions     is 'page sessions that were opened with it and have not ended';
