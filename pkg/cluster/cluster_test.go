package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"go.uber.org/goleak"
)

// binDir chooses the server as for the program.
var binDir = os.Getenv("TINYDEV_POSTGRES_BIN")

// fast makes throw-away clusters; durability is tested where it matters.
var fast = map[string]string{"fsync": "off"}

// open makes a cluster in a new data directory with the given name, and destroys it at the end.
func open(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	return openIn(t, filepath.Join(tempDir(t), name))
}

func openIn(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir, Settings: fast})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func start(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// tempDir is a folder that PostgreSQL's user can enter; those of testing are closed.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cluster")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// ask gives the one value that a query returns.
func ask[T any](t *testing.T, c *cluster.Cluster, query string, args ...any) T {
	t.Helper()
	v, err := tryAsk[T](t.Context(), c, query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func tryAsk[T any](ctx context.Context, c *cluster.Cluster, query string, args ...any) (v T, err error) {
	conn, err := pgx.Connect(ctx, c.URL(cluster.Superuser, cluster.Database))
	if err != nil {
		return v, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, query, args...).Scan(&v)
	return v, err
}

// eventually waits up to a minute for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func wantCode(t *testing.T, err error, code string) *fault.Error {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
	return fault.As(err)
}

func state(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(c.Installation().BinDir, "pg_controldata"), c.PGData()).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "Database cluster state:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func TestStartRestartStop(t *testing.T) {
	t.Parallel()
	c := open(t, "data")
	start(t, c)
	workers := "on"
	if c.Installation().CronVersion < "1.5" {
		workers = "off"
	}
	for setting, want := range map[string]string{
		"shared_preload_libraries": "pg_cron", "cron.database_name": "tinydev", "cron.use_background_workers": workers,
		"cron.max_running_jobs": "32", "max_worker_processes": "64", "cron.enable_superuser_jobs": "off",
		"server_encoding": "UTF8", "data_checksums": "on", "listen_addresses": "127.0.0.1",
		"password_encryption": "scram-sha-256",
	} {
		if got := ask[string](t, c, `select current_setting($1)`, setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if n := ask[int](t, c, `select count(*) from pg_stat_activity where application_name like 'pg_cron%' or backend_type like 'pg_cron%'`); n != 1 {
		t.Errorf("%d launchers of pg_cron run, want 1", n)
	}
	port := c.Port()
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := state(t, c); got != "shut down" {
		t.Errorf("after Stop the cluster is %q", got)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
	start(t, c)
	if c.Port() != port {
		t.Errorf("the port went from %d to %d", port, c.Port())
	}
	if !c.Ready() {
		t.Error("a started cluster is not ready")
	}
}

func TestTCPAsksForAPassword(t *testing.T) {
	t.Parallel()
	c := open(t, "data")
	start(t, c)
	_, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s:wrong@127.0.0.1:%d/tinydev", cluster.Superuser, c.Port()))
	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("got %v, want 28P01", err)
	}
	if info, err := os.Stat(c.SocketDir()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder is %v (%v), want 0700", info.Mode(), err)
	}
}

func TestJobsRun(t *testing.T) {
	t.Parallel()
	c := open(t, "data")
	start(t, c)
	conn, err := pgx.Connect(t.Context(), c.URL(cluster.Superuser, cluster.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	schedule := "1 seconds"
	if c.Installation().CronVersion < "1.5" { // which brought them
		schedule = "* * * * *"
	}
	for _, sql := range []string{
		`create extension pg_cron`, `create role "Ann" login`, `create schema "Ann" authorization "Ann"`,
		`grant usage on schema cron to "Ann"`, `set session authorization "Ann"`,
		`create table "Ann".tick (at timestamptz)`,
		`select cron.schedule('tick', '` + schedule + `', $$insert into "Ann".tick values (now())$$)`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if n := ask[int](t, c, `select count(*) from "Ann".tick`); n > 1 || n == 1 && schedule != "1 seconds" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no job ran in 90 seconds")
		}
	}
}

func TestKilledPostmasterComesBack(t *testing.T) {
	t.Parallel()
	c := open(t, "data")
	start(t, c)
	before := c.PID()
	// A session that computes does not notice that the postmaster is gone.
	conn, err := pgx.Connect(t.Context(), c.URL(cluster.Superuser, cluster.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	busy := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `do $$ begin loop end loop; end $$`)
		busy <- err
	}()
	eventually(t, "the busy session is seen", func() bool {
		return ask[int](t, c, `select count(*) from pg_stat_activity where query like 'do $$ begin loop%'`) == 1
	})
	c.Kill()
	eventually(t, "PostgreSQL is back", func() bool {
		_, err := tryAsk[int](t.Context(), c, `select 1`)
		return err == nil && c.Ready() && c.PID() != before
	})
	if err := <-busy; err == nil {
		t.Error("the busy session ended without an error")
	}
}

func TestKilledBackendLeavesTheRestRunning(t *testing.T) {
	t.Parallel()
	c := open(t, "data")
	start(t, c)
	before := c.PID()
	pid := ask[int](t, c, `select pid from pg_stat_activity where backend_type = 'checkpointer'`)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another checkpointer runs", func() bool {
		now, err := tryAsk[int](t.Context(), c, `select pid from pg_stat_activity where backend_type = 'checkpointer'`)
		return err == nil && now != pid
	})
	if c.PID() != before {
		t.Error("the postmaster was restarted")
	}
}

func TestTwoOpensOfOneDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	openIn(t, dir)
	_, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir})
	if f := wantCode(t, err, "data_dir_in_use"); f.Fields["pid"] != os.Getpid() {
		t.Errorf("the error names process %v, want %d", f.Fields["pid"], os.Getpid())
	}
}

func TestHardPaths(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"quotes": `it's a "data" dir, with \ and %41 + é`,
		"deep":   strings.Repeat("a-rather-deep-folder/", 8) + "data",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := tempDir(t)
			if err := os.MkdirAll(filepath.Dir(filepath.Join(base, dir)), 0o755); err != nil {
				t.Fatal(err)
			}
			c := openIn(t, filepath.Join(base, dir))
			start(t, c)
			if got := ask[string](t, c, `select current_setting('data_directory')`); got != c.PGData() {
				t.Errorf("PGDATA is %s, want %s", got, c.PGData())
			}
			if len(c.SocketDir()) > 90 {
				t.Errorf("the socket lies too deep: %s", c.SocketDir())
			}
			if psql, err := exec.LookPath("psql"); err == nil {
				out, err := exec.Command(psql, "-XAtc", "select 'from psql'", c.URL(cluster.Superuser, cluster.Database)).CombinedOutput()
				if string(out) != "from psql\n" {
					t.Errorf("psql: %s %v", out, err)
				}
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	dir := filepath.Join(tempDir(t), "data")
	c, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir, Port: port, Settings: fast})
	if err != nil {
		t.Fatal(err)
	}
	if f := wantCode(t, c.Start(t.Context()), "port_in_use"); f.Fields["port"] != port {
		t.Errorf("the error names port %v, want %d", f.Fields["port"], port)
	}
	// The directory is free again, and without a given port another one is taken.
	c2 := openIn(t, dir)
	start(t, c2)
	if c2.Port() == port {
		t.Errorf("port %d is still taken", port)
	}
}

func TestBadSettingShowsTheLog(t *testing.T) {
	t.Parallel()
	c, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: filepath.Join(tempDir(t), "data"), Settings: map[string]string{"fsync": "off", "max_connections": "many"}})
	if err != nil {
		t.Fatal(err)
	}
	f := wantCode(t, c.Start(t.Context()), "postgres_start_failed")
	if !strings.Contains(f.Message, `max_connections`) {
		t.Errorf("the message does not show the log: %s", f.Message)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOtherMajorIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	c := openIn(t, dir)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.PGData(), "PG_VERSION"), []byte("11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Open(t.Context(), cluster.Config{DataDir: dir, BinDir: c.Installation().BinDir})
	wantCode(t, err, "data_version")
	_, err = cluster.Open(t.Context(), cluster.Config{DataDir: dir})
	if f := wantCode(t, err, "postgres_not_found"); !strings.Contains(f.Message, "needs PostgreSQL 11") {
		t.Errorf("the message does not name the version: %s", f.Message)
	}
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	precious := filepath.Join(dir, "postgres", "precious")
	if err := os.MkdirAll(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir})
	wantCode(t, err, "data_dir_invalid")
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestStalePidOfAnotherProgram(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	c := openIn(t, dir)
	start(t, c)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As after a reboot of a container: the process id is ours now.
	text := fmt.Sprintf("%d\n%s\n1\n%d\n%s\n127.0.0.1\n  1 1\nready\n", os.Getpid(), c.PGData(), c.Port(), c.SocketDir())
	if err := os.WriteFile(filepath.Join(c.PGData(), "postmaster.pid"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(c.SocketDir(), fmt.Sprintf(".s.PGSQL.%d.lock", c.Port()))
	if err := os.WriteFile(lock, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, c)
}

// TestMain turns the test binary into a server when it is told to: it starts a cluster, prints the
// postmaster's process id, and stays until it is signalled.
func TestMain(m *testing.M) {
	dir := os.Getenv("CLUSTER_TEST_SERVE")
	if dir == "" {
		goleak.VerifyTestMain(m)
	}
	c, err := cluster.Open(context.Background(), cluster.Config{BinDir: binDir, DataDir: dir, Settings: fast})
	if err == nil {
		err = c.Start(context.Background())
	}
	if err != nil {
		fmt.Println(fault.CodeOf(err), err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	notify(stop)
	fmt.Println("pid", c.PID(), c.Account())
	<-stop
	if err := c.Stop(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the test binary as a server of its own.
type server struct {
	*exec.Cmd
	first string // the line it printed
}

// serve starts it on the directory dir; for another user, who cannot enter the folder of the test binary,
// it is the copy that userDir made.
func serve(t *testing.T, dir string, as *syscall.Credential) server {
	t.Helper()
	program := os.Args[0]
	if as != nil {
		program = filepath.Join(filepath.Dir(dir), "server")
	}
	s := server{Cmd: exec.Command(program)}
	s.Dir = "/"
	s.Env = append(os.Environ(), "CLUSTER_TEST_SERVE="+dir)
	s.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	s.Stderr = os.Stderr
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.Wait()
	})
	if s.first, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(errors.Join(err, s.Wait()))
	}
	return s
}
