create or replace function tinydev_lib.sha256_hex(text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select encode(sha256(convert_to(sha256_hex.text, 'UTF8')), 'hex') $$;

comment on function tinydev_lib.sha256_hex(text) is 'The SHA-256 of a text in UTF-8, in hexadecimal.';
