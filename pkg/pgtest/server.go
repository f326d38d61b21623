// Package pgtest gives tests a real PostgreSQL with the real pg_cron and the whole schema.
//
// DB gives a database of its own, cloned from a template, on a server that the test binary shares; pg_cron's tables and
// functions are there but nothing is launched. Live gives a server of its own with pg_cron launching. TINYDEV_TEST_SERVER
// chooses where the servers come from: local (the default) or container; all is local, and both where a test asks for Ways.
package pgtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// The users of every test database. The first has a mixed-case name, so that bad quoting shows; Admin may see all events.
const (
	Ann   = "Ann"
	Bob   = "bob"
	Eve   = "eve"
	Admin = "admin"
)

// server is a PostgreSQL that tests connect to as any role.
type server struct {
	url  func(user, database string) string
	stop func()
}

var shared = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s, err := startServer(ctx, map[string]string{
		"cron.database_name": "postgres", "fsync": "off", "max_connections": "300", "track_functions": "all",
	})
	if err != nil {
		return nil, err
	}
	if err := makeTemplate(ctx, s); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
})

var started atomic.Bool

// Main runs a package's tests and stops the shared server after them; call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if s, err := shared(); err == nil {
			s.stop()
		}
	}
	os.Exit(code)
}

// template is the one name beside cron.database_name in which pg_cron's extension can be created.
const template = "contrib_regression"

func makeTemplate(ctx context.Context, s *server) error {
	conn, err := postgres.Connect(ctx, s.url(cluster.Superuser, "postgres"), "pgtest")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create database "+template); err != nil {
		return err
	}
	return Install(ctx, s.url(cluster.Superuser, template))
}

// Install puts the schema and the test users into a database.
func Install(ctx context.Context, url string) error {
	conn, err := postgres.Connect(ctx, url, "pgtest")
	if err != nil {
		return err
	}
	if err := schema.Install(ctx, conn, schema.Options{Private: true}); err != nil {
		return err
	}
	if conn, err = postgres.Connect(ctx, url, "pgtest"); err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, fmt.Sprintf(`
create role %[1]q login; grant tinydev_user to %[1]q; create schema authorization %[1]q;
select tinydev.create_user('bob'); select tinydev.create_user('eve'); select tinydev.create_user('admin', admin => true)`, Ann))
	return err
}

func startServer(ctx context.Context, settings map[string]string) (*server, error) {
	if os.Getenv("TINYDEV_TEST_SERVER") == "container" {
		c, err := StartContainer(ctx, ContainerOptions{Settings: settings})
		if err != nil {
			return nil, err
		}
		return &server{url: c.DSN, stop: func() { c.Close() }}, nil
	}
	dir, err := os.MkdirTemp("", "tinydev-test-")
	if err != nil {
		return nil, err
	}
	c, err := cluster.Open(ctx, cluster.Config{DataDir: dir, Settings: settings, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN")})
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start a PostgreSQL for the tests (make test installs one): %w", err)
	}
	return &server{url: c.URL, stop: func() {
		c.Stop(context.Background())
		c.Destroy(context.Background())
		os.RemoveAll(dir)
	}}, nil
}

// Database is one test database.
type Database struct {
	t    testing.TB
	url  func(user, database string) string
	Name string
}

var clones atomic.Int64

// DB gives an empty clone of the template, dropped after the test. pg_cron launches nothing in it.
func DB(t testing.TB) *Database {
	t.Helper()
	started.Store(true)
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), clones.Add(1))
	ctx := context.Background()
	admin := connect(t, s.url(cluster.Superuser, "postgres"))
	// Cloning needs the template unused, so clones wait for each other.
	cloning.Lock()
	_, err = admin.Exec(ctx, fmt.Sprintf("create database %s template %s", name, template))
	cloning.Unlock()
	if err == nil {
		_, err = admin.Exec(ctx, fmt.Sprintf("revoke connect, temporary on database %[1]s from public; grant connect, temporary on database %[1]s to tinydev_user, tinydev_server; grant create on database %[1]s to tinydev_roles", name))
	}
	if err != nil {
		t.Fatalf("clone the template: %v", err)
	}
	t.Cleanup(func() {
		conn, err := postgres.Connect(ctx, s.url(cluster.Superuser, "postgres"), "pgtest")
		if err != nil {
			return // the server is gone with the test
		}
		defer conn.Close(ctx)
		// A session that computes what PostgreSQL does not interrupt, such as a long JSON path, ends when that is done.
		for range 20 {
			conn.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
			if _, err = conn.Exec(ctx, "drop database if exists "+name); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return &Database{t: t, url: s.url, Name: name}
}

var cloning sync.Mutex

// Live gives a server of its own on which pg_cron launches jobs, with the schema and the test users, stopped after the test.
func Live(t testing.TB) *Database {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s, err := startServer(ctx, map[string]string{"fsync": "off"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	if err := Install(ctx, s.url(cluster.Superuser, cluster.Database)); err != nil {
		t.Fatal(err)
	}
	return &Database{t: t, url: s.url, Name: cluster.Database}
}

// URL gives the database's URL as a role.
func (d *Database) URL(role string) string { return d.url(role, d.Name) }

// Conn opens a session of a role, closed after the test.
func (d *Database) Conn(role string) *pgx.Conn {
	d.t.Helper()
	return connect(d.t, d.URL(role))
}

// Superuser opens a session of the superuser, closed after the test.
func (d *Database) Superuser() *pgx.Conn {
	d.t.Helper()
	return d.Conn(cluster.Superuser)
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), url, "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Tx gives a transaction of a role in a clone, rolled back after the test.
func Tx(t testing.TB, role string) pgx.Tx {
	t.Helper()
	tx, err := DB(t).Conn(role).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.Background()) })
	return tx
}

// Querier is what a connection, a pool and a transaction have in common.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Value runs a query and gives its one value; an error fails the test.
func Value[T any](t testing.TB, q Querier, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := q.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), postgres.Fault(err, ""))
	}
	return v
}

// Eventually waits until condition holds: no longer than limit on a machine that is quiet, and three times that on any.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	limit *= 3
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within %v: %s", limit, what)
}
