-- What eve shares with bob: refused_* would run code of hers with the rights of one who reads it, good_* would not. Run as eve.
create table eve.seen (what text, who text, session text);
create sequence eve.runs;  -- what is rolled back leaves a trace too
create function eve.note(what text, who text) returns void language plpgsql security definer as $$ begin
  perform nextval('eve.runs'); insert into eve.seen values (what, who, session_user); end $$;
-- Neither function is what it says: it is immutable for PostgreSQL, which therefore calls it while it plans.
create function eve.f(what text) returns integer language plpgsql immutable as $$ begin
  if current_setting('eve.busy', true) = '1' then return 1; end if;  -- PostgreSQL 12 comes back here when a partition key is loaded
  perform set_config('eve.busy', '1', false); perform eve.note(what, current_user); perform set_config('eve.busy', '0', false); return 1; end $$;
create function eve.fb(what text, a integer) returns boolean language sql immutable as 'select eve.f(what) = 1';

create sequence eve.counter;
create table eve.good_base (id integer generated always as identity primary key, a integer not null check (a > 0), b text default 'x', c timestamptz default now(),
  d integer generated always as (a * 2) stored);
insert into eve.good_base (a) values (1);

create table eve.refused_index (a integer); insert into eve.refused_index values (1); create index on eve.refused_index ((a + eve.f('index')));
create table eve.refused_predicate (a integer); insert into eve.refused_predicate values (1); create index on eve.refused_predicate (a) where a > eve.f('predicate');
create table eve.refused_partition (a integer) partition by range ((a + eve.f('partition')));
create table eve.refused_partition_1 partition of eve.refused_partition for values from (0) to (1000); insert into eve.refused_partition values (1);
create view eve.refused_over_partition as select a from eve.refused_partition;
create table eve.refused_check (a integer check (a > eve.f('check') - 10)); insert into eve.refused_check values (1);
create table eve.refused_parent (a integer); create table eve.heir () inherits (eve.refused_parent); create index on eve.heir ((a + eve.f('heir')));
create table eve.refused_policy (a integer); insert into eve.refused_policy values (1);
alter table eve.refused_policy enable row level security; create policy p on eve.refused_policy using (eve.fb('policy', a));
create view eve.refused_over_policy as select * from eve.refused_policy;
create materialized view eve.refused_view_index as select 1 as a; create index on eve.refused_view_index ((a + eve.f('view index')));
create type eve.kind as enum ('x'); create function eve.kind_json(eve.kind) returns json language sql immutable as $$ select to_json(eve.f('cast')) $$;
create cast (eve.kind as json) with function eve.kind_json(eve.kind);
create table eve.refused_cast (k eve.kind); insert into eve.refused_cast values ('x');
create table eve.refused_row_cast (a integer); insert into eve.refused_row_cast values (1);
create function eve.row_json(eve.refused_row_cast) returns json language sql immutable as $$ select to_json(eve.f('row cast')) $$;
create cast (eve.refused_row_cast as json) with function eve.row_json(eve.refused_row_cast);
create domain eve.checked as integer check (eve.fb('domain', value));
create table eve.refused_domain (a eve.checked); insert into eve.refused_domain values (1);
create table eve.refused_domains (a eve.checked[]); insert into eve.refused_domains values ('{1}');
create type eve.pair as (x integer, y eve.checked);
create table eve.refused_composite (a eve.pair); insert into eve.refused_composite values ((1, 2));

create view eve.refused_function as select eve.f('function') as a;
create view eve.refused_over_view as select * from eve.refused_function;
create view eve.refused_over_index as select * from eve.refused_index;
create view eve.refused_where as select a from eve.good_base where eve.fb('where', a);
create view eve.refused_subquery as select (select max(eve.f('subquery'))) as a;
create view eve.refused_join as select f.x from eve.good_base b join lateral (select eve.f('join') + b.a) f(x) on true;
create function eve.same(integer, integer) returns boolean language sql immutable as $$ select eve.f('operator') = 1 $$;
create function eve.other(integer, integer) returns boolean language sql immutable as $$ select eve.f('negator') = 1 $$;
create function eve.commuted(integer, integer) returns boolean language sql immutable as $$ select eve.f('commutator') = 1 $$;
create operator eve.=== (leftarg = integer, rightarg = integer, procedure = eve.same);
create view eve.refused_operator as select 1 operator(eve.===) 1 as a;
-- Here only what the planner may put in place of the operator is eve's.
create operator eve.=!= (leftarg = integer, rightarg = integer, procedure = int4eq, negator = operator(eve.!=!));
create operator eve.!=! (leftarg = integer, rightarg = integer, procedure = eve.other, negator = operator(eve.=!=));
create view eve.refused_negator as select a from eve.good_base where not (a operator(eve.=!=) 1);
create operator eve.<! (leftarg = integer, rightarg = integer, procedure = int4lt, commutator = operator(eve.>!), restrict = scalarltsel);
create operator eve.>! (leftarg = integer, rightarg = integer, procedure = eve.commuted, commutator = operator(eve.<!), restrict = scalargtsel);
create table eve.commuting (a integer); insert into eve.commuting select generate_series(1, 1000); analyze eve.commuting;
create view eve.refused_commutator as select a from eve.commuting where 5 operator(eve.<!) a;
create table eve.refused_operator_check (a integer check (not (5 operator(eve.=!=) 1) or true)); insert into eve.refused_operator_check values (1);
create table eve.refused_operator_index (a integer); insert into eve.refused_operator_index values (1); create index on eve.refused_operator_index (a) where not (a operator(eve.=!=) 5);
create table eve.refused_operator_key (a integer) partition by list ((not (a operator(eve.=!=) 7)));
create domain eve.different as integer check (value operator(eve.=!=) value);
create table eve.refused_operator_domain (a eve.different); insert into eve.refused_operator_domain values (1);
-- One that has no negator yet.
create operator eve.~!~ (leftarg = integer, rightarg = integer, procedure = int4eq);
create view eve.refused_bare_operator as select a from eve.good_base where not (a operator(eve.~!~) 1);
create function eve.step(integer, integer) returns integer language sql immutable as $$ select eve.f('aggregate') $$;
create aggregate eve.total(integer) (sfunc = eve.step, stype = integer);
create view eve.refused_aggregate as select eve.total(a) as a from eve.good_base;
create view eve.refused_window as select eve.total(a) over () as a from eve.good_base;
create view eve.refused_coercion as select (a::text)::eve.checked as a from eve.good_base;
create view eve.refused_json_record as select (json_populate_record(null::eve.pair, '{"x":1,"y":2}')).x as a;
create view eve.refused_query_to_xml as select query_to_xml('select eve.f(''query_to_xml'')', true, true, '')::text as a;
create view eve.refused_table_to_xml as select table_to_xml('eve.refused_function'::text::regclass, true, true, '')::text as a;
create view eve.refused_domain_in as select domain_in('1'::cstring, 'eve.checked'::text::regtype, -1) is null as a;
create view eve.refused_ts_stat as select ndoc as a from ts_stat('select (''x'' || eve.f(''ts_stat''))::tsvector');
create view eve.refused_ts_rewrite as select ts_rewrite('a'::tsquery, 'select (''x'' || eve.f(''ts_rewrite''))::tsquery, ''b''::tsquery') as a;
-- These do something by themselves.
create view eve.refused_pg_notify as select pg_notify('eve', 'x')::text as a;
create view eve.refused_set_config as select set_config('search_path', 'eve', false) as a;
create view eve.refused_nextval as select nextval('eve.counter') as a;
create view eve.refused_advisory_lock as select pg_advisory_lock(1)::text as a;
create view eve.refused_terminate as select pg_terminate_backend(0) as a;
create view eve.refused_sleep as select pg_sleep(0)::text as a;
create view eve.refused_lo as select lo_create(0) as a;

create index on eve.good_base (lower(b)); create unique index on eve.good_base (a) where a > 0;
create table eve.good_serial (id serial, base integer references eve.good_base (id), key uuid default md5(random()::text)::uuid, a integer); insert into eve.good_serial (a) values (1);
create materialized view eve.good_materialized as select eve.f('materialized') as a;
create view eve.good_view as
  select upper(b) as b, sum(a) as total, now() as now, to_char(c, 'YYYY') as year, row_number() over () as n, random() as chance, count(*) filter (where a > 1) as many,
         array_agg(a) as list, coalesce(json_agg(a), '[]') as json, clock_timestamp() as clock, current_setting('server_version') as version
    from eve.good_base group by b, c;
create view eve.good_join as select p.a, q.b from eve.good_base p join "Ann".data q using (a) where p.b like 'x%' order by 1;
create view eve.good_catalogue as select c.relname, s.usename from pg_class c, pg_stat_activity s where c.relname = 'pg_class';
create table eve.good_partitioned (a integer, b text) partition by list (lower(b));
create table eve.good_partitioned_x partition of eve.good_partitioned for values in ('x'); insert into eve.good_partitioned values (1, 'x');
create type eve.mood as enum ('fine'); create table eve.good_enum (m eve.mood default 'fine', ms eve.mood[], a integer); insert into eve.good_enum (ms) values ('{fine}');
create view eve.good_over_enum as select m from eve.good_enum where m = 'fine';
create domain eve.positive as integer check (value > 0); create table eve.good_domain (a eve.positive); insert into eve.good_domain values (1);
create table eve.good_without_policy (a integer); alter table eve.good_without_policy enable row level security;
grant usage on schema eve to bob;
grant select, insert on all tables in schema eve to bob;
grant usage on all sequences in schema eve to bob;
revoke all on eve.seen from bob;
truncate eve.seen;
alter sequence eve.runs restart;
