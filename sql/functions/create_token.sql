create or replace function tinydev.create_token(
  name       text,
  for_user   text        default current_user,
  expires_at timestamptz default null,
  read_only  boolean     default false,
  scopes     text[]      default null,
  sha256     text        default null,
  prefix     text        default '',
  dry_run    boolean     default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user   pg_catalog.name  := coalesce(create_token.for_user, current_user);
  v_scopes text[]           := tinydev_lib.check_scopes(create_token.scopes);
  v_secret text;
  v_sum    text             := create_token.sha256;
  v_prefix text             := left(coalesce(create_token.prefix, ''), 7);
  v_token  record;
begin
  if v_user <> current_user and not pg_has_role('tinydev_admin', 'member') then
    perform tinydev_lib.fault(403, 'admin_only', format('only administrators make tokens for others, and %I is none', current_user),
      'make one of your own, or ask an administrator');
  end if;
  if not exists (select from tinydev.user u where u.name = v_user) then
    perform tinydev_lib.fault(403, 'not_a_user', format('%I is not a user of TinyDevCRM', v_user), 'select name from tinydev.user lists them');
  end if;
  if coalesce(length(create_token.name), 0) not between 1 and 100 or create_token.name ~ '[[:cntrl:]]' then
    perform tinydev_lib.fault(422, 'token_invalid', 'the name of a token has 1 to 100 characters and no line ends', 'say where it is used, such as laptop', '{"field": "name"}');
  end if;
  if create_token.expires_at <= clock_timestamp() then
    perform tinydev_lib.fault(422, 'token_invalid', format('%s has passed', to_char(create_token.expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
      'give a time in the future, or none for a token that does not expire', '{"field": "expires_at"}');
  end if;
  if v_sum !~ '^[0-9a-f]{64}$' then
    perform tinydev_lib.fault(422, 'token_invalid', 'sha256 is not a SHA-256 in hexadecimal, in lower case', 'leave it out, and a token is made', '{"field": "sha256"}');
  end if;
  if exists (select from tinydev.token t where t.user_name = v_user and t.name = create_token.name and t.kind = 'token') then
    perform tinydev_lib.fault(409, 'token_name_taken', format('%I has a token %L already', v_user, create_token.name), 'revoke it, or choose another name');
  end if;
  if create_token.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select tinydev.create_token(%s);', concat_ws(', ',
      format('name => %L', create_token.name), format('for_user => %L', v_user), 'expires_at => ' || quote_literal(create_token.expires_at),
      case when create_token.read_only then 'read_only => true' end, 'scopes => ' || quote_literal(v_scopes)))));
  end if;
  if v_sum is null then
    if to_regprocedure('pg_catalog.gen_random_uuid()') is null then
      perform tinydev_lib.fault(422, 'token_invalid', 'before version 13 PostgreSQL cannot make random tokens by itself',
        'tinydev token create makes one; or give the SHA-256 of one: td_ and 43 random characters', '{"field": "sha256"}');
    end if;
    v_secret := 'td_' || rtrim(translate(encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64'), '+/', '-_'), '=');
    v_sum := encode(sha256(convert_to(v_secret, 'UTF8')), 'hex');
    v_prefix := left(v_secret, 7);
  end if;
  insert into tinydev_lib.own_token (sha256, role_name, name, prefix, read_only, scopes, expires_at)
  values (v_sum, v_user, create_token.name, v_prefix, coalesce(create_token.read_only, false), v_scopes, create_token.expires_at)
  returning token_id, role_name, own_token.name, own_token.prefix, own_token.read_only, own_token.scopes, created_at, own_token.expires_at into v_token;
  return jsonb_strip_nulls(jsonb_build_object('token', v_secret)) || jsonb_build_object('token_id', v_token.token_id, 'user', v_token.role_name,
    'name', v_token.name, 'prefix', v_token.prefix, 'read_only', v_token.read_only, 'scopes', v_token.scopes, 'created_at', v_token.created_at,
    'expires_at', v_token.expires_at);
exception when unique_violation then
  perform tinydev_lib.fault(409, 'token_name_taken', format('%I has got a token %L just now', v_user, create_token.name), 'choose another name');
end $$;

comment on function tinydev.create_token(text, text, timestamptz, boolean, text[], text, text, boolean) is
$$Makes a token for the HTTP API: your own, or as an administrator another user's. read_only refuses all that changes something, in a session
that PostgreSQL keeps read-only. scopes narrow it to groups of calls: tables allows all about tables, tables:read what only reads; null is all.
A scope that lets in SQL, such as views, is as good as the user's psql. With sha256 it is of a token that you made, td_ and at least 32 random
bytes in base64url, and prefix is its beginning; without, a token is made (from PostgreSQL 13 on) and shown this once: only its SHA-256 is kept.
Answers {"token_id":7,"token":"td_…","user":"bob","name":"laptop","prefix":"td_Ab3d","read_only":false,"scopes":null,"created_at":…,"expires_at":null};
with dry_run makes nothing and answers {"sql":[…]}.
Example: select tinydev.create_token('laptop', expires_at => now() + interval '90 days') ->> 'token';
Errors: TD403 admin_only, not_a_user; TD409 token_name_taken, tokens_too_many; TD422 token_invalid, scope_unknown.$$;
