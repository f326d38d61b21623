package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// eves is what eve lets bob load into. Her code leaves its mark in a sequence, which no rollback takes back.
const eves = `
create sequence eve.runs;
create function eve.f() returns integer language plpgsql security definer as $$ begin perform nextval('eve.runs'); return 1; end $$;
create function eve.lies() returns integer language sql immutable as 'select eve.f()';
create function eve.w(a integer) returns boolean language plpgsql as $$ begin return eve.f() = 1; end $$;
create function eve.same(integer, integer) returns boolean language sql immutable as $$ select eve.f() = 1 $$;
create operator eve.=== (leftarg = integer, rightarg = integer, procedure = eve.same);
create operator eve.=!= (leftarg = integer, rightarg = integer, procedure = int4eq, negator = operator(eve.!=!));
create operator eve.!=! (leftarg = integer, rightarg = integer, procedure = eve.same, negator = operator(eve.=!=));
create function eve.fire() returns trigger language plpgsql as $$ begin perform eve.f(); return new; end $$;
create table eve.refused_trigger (a integer); create trigger t before insert on eve.refused_trigger for each row execute function eve.fire();
create table eve.refused_statement_trigger (a integer); create trigger t after insert on eve.refused_statement_trigger execute function eve.fire();
create table eve.refused_deferred (a integer);
create constraint trigger t after insert on eve.refused_deferred deferrable initially deferred for each row execute function eve.fire();
create table eve.refused_default (a integer, b integer default eve.f());
create table eve.refused_generated (a integer, b integer generated always as (a + eve.lies()) stored);
create table eve.refused_check (a integer check (a > eve.f() - 10));
create domain eve.checked as integer check (value > eve.f() - 10);
create table eve.refused_operator (a integer check (not (a operator(eve.=!=) 5)));
create table eve.refused_condition (a integer);
create trigger t before insert on eve.refused_condition for each row when (eve.w(new.a)) execute function suppress_redundant_updates_trigger();
create table eve.refused_domain (a eve.checked);
create domain eve.filled as integer default eve.f();
create table eve.refused_domain_default (a integer, b eve.filled);
create table eve.refused_index (a integer); create index on eve.refused_index ((a + eve.lies()));
create table eve.refused_unique (a integer); create unique index on eve.refused_unique (a) where a > eve.lies();
create table eve.refused_rule (a integer); create rule r as on insert to eve.refused_rule do also select eve.f();
create table eve.refused_policy (a integer); alter table eve.refused_policy enable row level security;
create policy p on eve.refused_policy for insert with check (eve.f() = 1);
create table eve.refused_leaf (a integer) partition by list (a); create table eve.leaf partition of eve.refused_leaf for values in (1, 2);
create trigger t before insert on eve.leaf for each row execute function eve.fire();
create table eve.referred (a integer primary key); insert into eve.referred values (1), (2); create index on eve.referred ((a + eve.lies()));
create table eve.refused_reference (a integer references eve.referred);
create table eve.refused_steal (a integer, b text default query_to_xml('select eve.f()', true, true, '')::text);
create table eve.refused_setting (a integer, b text default current_setting('search_path'));
create table eve.refused_counter (a integer, b bigint default nextval('bob.count'::text::regclass));

create table eve.plain (a integer primary key); insert into eve.plain values (1), (2);
create table eve.good (id integer generated always as identity, n serial, a integer not null references eve.plain check (a > 0), b text default upper('x'), c timestamptz default now(),
  d integer generated always as (a * 2) stored, k uuid default md5(random()::text)::uuid, who name default current_user);
create index on eve.good (lower(b));
create table eve.good_partitioned (a integer) partition by list (a); create table eve.good_1 partition of eve.good_partitioned for values in (1, 2);
grant usage on schema eve to bob; grant select, insert on all tables in schema eve to bob; grant usage on all sequences in schema eve to bob;
`

// TestLoadsRunNoForeignCode has bob load into tables of eve's: those that would run her code with his rights take no byte of the file.
func TestLoadsRunNoForeignCode(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	ctx, eve, bob := context.Background(), db.Conn(pgtest.Eve), db.Conn(pgtest.Bob)
	run(t, bob, "create sequence bob.count")
	if _, err := eve.PgConn().Exec(ctx, eves).ReadAll(); err != nil {
		t.Fatal(err)
	}
	run(t, eve, "alter sequence eve.runs restart")
	load := func(table string) error {
		_, _, err := l.Load(ctx, pgtest.Bob, ingest.LoadRequest{Table: "eve." + table, Force: true}, strings.NewReader("a\n1\n2\n"))
		return err
	}
	tables := texts(t, eve, "select relname::text from pg_class where relnamespace = 'eve'::regnamespace and relname like 'refused%' and relkind in ('r', 'p')")
	if len(tables) < 15 {
		t.Fatalf("only %q", tables)
	}
	for _, table := range tables {
		if e := fault.As(load(table)); e == nil || e.Code != "foreign_code" || e.Fields["owner"] != "eve" {
			t.Errorf("%s: %+v, want foreign_code", table, e)
		}
		if _, _, err := l.Load(ctx, pgtest.Bob, ingest.LoadRequest{Table: "eve." + table, DryRun: true}, strings.NewReader("a\n1\n")); fault.CodeOf(err) != "foreign_code" {
			t.Errorf("a dry run into %s: %v", table, err)
		}
		if called(t, eve) {
			t.Fatalf("a load into %s ran eve's code", table)
		}
	}
	for _, table := range []string{"good", "good_partitioned"} {
		if err := load(table); err != nil {
			t.Errorf("%s: %v %+v", table, err, fault.As(err))
		}
	}
	// A table of bob's that eve was allowed to put a trigger on.
	run(t, bob, "create table bob.own (a integer)")
	run(t, bob, "grant usage on schema bob to eve")
	run(t, bob, "grant trigger on bob.own to eve")
	run(t, eve, "create trigger t before insert on bob.own for each row execute function eve.fire()")
	if _, _, err := l.Load(ctx, pgtest.Bob, ingest.LoadRequest{Table: "own"}, strings.NewReader("a\n1\n")); fault.CodeOf(err) != "foreign_code" {
		t.Errorf("a load into a table of bob's with a trigger of eve's: %v", err)
	}
	run(t, bob, "create table bob.spare (a integer)")
	run(t, bob, "create function bob.fine(integer) returns boolean language sql as 'select true'")
	run(t, bob, "create function bob.pass() returns trigger language plpgsql as 'begin return new; end'")
	run(t, bob, "grant trigger on bob.spare to eve")
	// What runs is not the trigger's function, which came with PostgreSQL, but its condition.
	for _, condition := range []string{"eve.w(new.a)", "new.a operator(eve.===) 1", "not (new.a operator(eve.=!=) 1)", "new.a::eve.checked is not null",
		"query_to_xml('select eve.f()', true, true, '') is not null", "tinydev.share('spare', 'eve') is not null", "set_config('search_path', 'eve', false) is null"} {
		run(t, eve, "create trigger t before insert on bob.spare for each row when ("+condition+") execute function suppress_redundant_updates_trigger()")
		_, _, err := l.Load(ctx, pgtest.Bob, ingest.LoadRequest{Table: "spare"}, strings.NewReader("a\n1\n"))
		if e := fault.As(err); e == nil || e.Code != "foreign_code" || e.Hint == "" {
			t.Errorf("a load into a table of bob's with a trigger of eve's when %s: %+v", condition, e)
		}
		run(t, bob, "drop trigger t on bob.spare")
	}
	if called(t, eve) {
		t.Error("eve's code ran")
	}
	for i, condition := range []string{"new.a > 0", "pg_trigger_depth() = 0", "bob.fine(new.a)", "current_setting('search_path') is not null"} {
		run(t, bob, "create trigger t before insert on bob.spare for each row when ("+condition+") execute function bob.pass()")
		if _, _, err := l.Load(ctx, pgtest.Bob, ingest.LoadRequest{Table: "spare"}, strings.NewReader(fmt.Sprintf("a\n%d\n", i+1))); err != nil {
			t.Errorf("a load into a table of bob's with a trigger of his when %s: %v %+v", condition, err, fault.As(err))
		}
		run(t, bob, "drop trigger t on bob.spare")
	}

	run(t, bob, "select tinydev.trust('eve')")
	for _, table := range tables {
		err := load(table)
		if refused := fault.CodeOf(err) == "foreign_code"; refused {
			t.Errorf("%s by one who trusts eve: %v", table, err)
		}
		switch table {
		case "refused_setting", "refused_counter", "refused_rule", "refused_policy":
			continue // harm without a function of hers; COPY leaves rules alone and refuses policies
		}
		if !called(t, eve) {
			t.Errorf("%s does not show that its code would have run: %v", table, err)
		}
		run(t, eve, "alter sequence eve.runs restart")
	}
}

func called(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	return pgtest.Value[bool](t, conn, "select is_called from eve.runs")
}

// TestARefusedLoadReadsNothing holds that the table is looked at before the file is.
func TestARefusedLoadReadsNothing(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	if _, err := db.Conn(pgtest.Eve).PgConn().Exec(context.Background(), strings.SplitAfter(eves, "eve.fire();")[0]+"grant usage on schema eve to bob; grant select, insert on eve.refused_trigger to bob").ReadAll(); err != nil {
		t.Fatal(err)
	}
	endless := &counter{}
	_, _, err := l.Load(context.Background(), pgtest.Bob, ingest.LoadRequest{Table: "eve.refused_trigger"}, endless)
	if fault.CodeOf(err) != "foreign_code" {
		t.Errorf("%v, want foreign_code", err)
	}
	if endless.n > 4<<20 {
		t.Errorf("%d bytes were read", endless.n)
	}
}

// counter is an endless file that counts what is read of it, up to 64 MiB.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	if c.n > 64<<20 {
		return 0, errors.New("too much was read")
	}
	n := copy(p, strings.Repeat("1\n", len(p)/2))
	if c.n == 0 {
		n = copy(p, "a\n1\n")
	}
	c.n += n
	return n, nil
}
