-- runs as: installer
create or replace function tinydev_impl.on_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A concurrent refresh makes a temporary table, so what is temporary has to be cheap.
  if exists (select from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp' and not c.in_extension)
     and tinydev_impl.is_user(session_user) then
    perform tinydev_impl.audit_ddl();
  end if;
end $$;

alter function tinydev_impl.on_ddl() owner to tinydev_owner;

do $$
begin
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'tinydev_ddl') then
    create event trigger tinydev_ddl on ddl_command_end when tag in (
      'ALTER AGGREGATE', 'ALTER COLLATION', 'ALTER CONVERSION', 'ALTER DEFAULT PRIVILEGES', 'ALTER DOMAIN', 'ALTER EXTENSION',
      'ALTER FOREIGN DATA WRAPPER', 'ALTER FOREIGN TABLE', 'ALTER FUNCTION', 'ALTER MATERIALIZED VIEW', 'ALTER OPERATOR', 'ALTER OPERATOR CLASS',
      'ALTER OPERATOR FAMILY', 'ALTER POLICY', 'ALTER PROCEDURE', 'ALTER PUBLICATION', 'ALTER ROUTINE', 'ALTER RULE', 'ALTER SCHEMA',
      'ALTER SEQUENCE', 'ALTER SERVER', 'ALTER STATISTICS', 'ALTER SUBSCRIPTION', 'ALTER TABLE', 'ALTER TEXT SEARCH CONFIGURATION',
      'ALTER TEXT SEARCH DICTIONARY', 'ALTER TRIGGER', 'ALTER TYPE', 'ALTER USER MAPPING', 'ALTER VIEW', 'COMMENT', 'CREATE ACCESS METHOD',
      'CREATE AGGREGATE', 'CREATE CAST', 'CREATE COLLATION', 'CREATE CONVERSION', 'CREATE DOMAIN', 'CREATE EXTENSION',
      'CREATE FOREIGN DATA WRAPPER', 'CREATE FOREIGN TABLE', 'CREATE FUNCTION', 'CREATE INDEX', 'CREATE LANGUAGE', 'CREATE MATERIALIZED VIEW',
      'CREATE OPERATOR', 'CREATE OPERATOR CLASS', 'CREATE OPERATOR FAMILY', 'CREATE POLICY', 'CREATE PROCEDURE', 'CREATE PUBLICATION',
      'CREATE RULE', 'CREATE SCHEMA', 'CREATE SEQUENCE', 'CREATE SERVER', 'CREATE STATISTICS', 'CREATE SUBSCRIPTION', 'CREATE TABLE',
      'CREATE TABLE AS', 'CREATE TEXT SEARCH CONFIGURATION', 'CREATE TEXT SEARCH DICTIONARY', 'CREATE TRANSFORM', 'CREATE TRIGGER',
      'CREATE TYPE', 'CREATE USER MAPPING', 'CREATE VIEW', 'GRANT', 'IMPORT FOREIGN SCHEMA', 'REVOKE', 'SECURITY LABEL', 'SELECT INTO')
      execute function tinydev_impl.on_ddl();
  end if;
end $$;

comment on event trigger tinydev_ddl is 'TinyDevCRM: what its users define goes into the audit.';
