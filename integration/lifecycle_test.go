package integration

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

// state is what pg_controldata says of the private cluster.
func (s *server) state() string {
	s.t.Helper()
	inst, err := cluster.Find(os.Getenv("TINYDEV_POSTGRES_BIN"))
	if err != nil {
		s.t.Fatal(err)
	}
	show := exec.Command(filepath.Join(inst.BinDir, "pg_controldata"), filepath.Join(s.dataDir, "postgres"))
	show.Env = append(os.Environ(), "LC_ALL=C")
	for _, line := range strings.Split(run(s.t, show, "").stdout, "\n") {
		if value, ok := strings.CutPrefix(line, "Database cluster state:"); ok {
			return strings.TrimSpace(value)
		}
	}
	s.t.Fatal("pg_controldata does not tell the state")
	return ""
}

// TestStartAndStop: a second start is refused, SIGTERM and down leave a clean shutdown, token and data stay.
func TestStartAndStop(t *testing.T) {
	localOnly(t)
	s := newServer(t, false).start()
	before := shellEnv(t, s)
	s.sql("create table kept as select 7 as n")

	second := s.command("up", "--listen", "127.0.0.1:0")
	if second.code != 2 || !strings.Contains(second.stderr, "is in use by process "+fmt.Sprint(s.process.Process.Pid)) || !strings.Contains(second.stderr, "tinydev down") {
		t.Errorf("a second up: exit code %d, %s", second.code, second.stderr)
	}

	began := time.Now()
	s.signal(syscall.SIGTERM)
	if code := s.process.ProcessState.ExitCode(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if state := s.state(); state != "shut down" {
		t.Errorf("after SIGTERM PostgreSQL is %q", state)
	}
	if r := s.command("env"); r.code != 3 || r.stdout != "" {
		t.Errorf("env without a server: exit code %d, %s", r.code, r.stdout)
	}
	if out := s.must("down"); !strings.Contains(out, "nothing runs") {
		t.Errorf("down without a server printed %s", out)
	}

	s.start()
	after := shellEnv(t, s)
	if after["TINYDEV_TOKEN"] != before["TINYDEV_TOKEN"] {
		t.Error("the token is another one after a restart")
	}
	if got := s.sql("select n from kept"); got != "7" {
		t.Errorf("the table holds %q after a restart", got)
	}
	if out := s.must("down"); !strings.Contains(out, fmt.Sprintf("(process %d)", s.process.Process.Pid)) {
		t.Errorf("down printed %s", out)
	}
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		t.Error("the server still runs after down")
	}
	if state := s.state(); state != "shut down" {
		t.Errorf("after down PostgreSQL is %q", state)
	}
}

// TestDownAfterKill stops the PostgreSQL that a killed server left behind.
func TestDownAfterKill(t *testing.T) {
	localOnly(t)
	s := newServer(t, false).start()
	s.signal(syscall.SIGKILL)
	if err := syscall.Kill(s.postmaster(), 0); err != nil {
		t.Fatalf("PostgreSQL ended with the server: %v", err)
	}
	if r := s.command("view", "list"); r.code != 3 || !strings.Contains(r.stderr, "make run") {
		t.Errorf("a call to a killed server: exit code %d, %s", r.code, r.stderr)
	}
	s.must("down")
	if state := s.state(); state != "shut down" {
		t.Errorf("after down PostgreSQL is %q", state)
	}
}

// TestDeepFolder starts where a Unix socket's path would be too long.
func TestDeepFolder(t *testing.T) {
	localOnly(t)
	var socket string
	t.Cleanup(func() { os.RemoveAll(socket) }) // after the server has stopped
	s := newServer(t, false)
	s.dataDir = filepath.Join(filepath.Dir(s.dataDir), strings.Repeat("a deep folder/", 12), "data")
	if err := os.MkdirAll(filepath.Dir(s.dataDir), 0o711); err != nil {
		t.Fatal(err)
	}
	s.start()
	if got := s.sql("select current_user"); got != user {
		t.Errorf("psql is %s", got)
	}
	at, err := url.Parse(shellEnv(t, s)["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	socket = at.Query().Get("host")
	if !strings.HasPrefix(filepath.Base(socket), "tinydev-") || strings.HasPrefix(socket, s.dataDir) {
		t.Fatalf("the socket lies in %s", socket)
	}
}

// TestServeLeavesPostgresAlone: a server on a database that is there already stops without it.
func TestServeLeavesPostgresAlone(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, kind == "container")
			var address string
			if s.container != nil {
				address = s.container.SuperuserDSN()
			} else {
				db := startBare(t)
				address = db.URL(cluster.Superuser, cluster.Database)
			}
			serve := func(args ...string) *exec.Cmd {
				cmd := s.prepare(args...)
				cmd.Env = append(cmd.Env, "TINYDEV_DATABASE_URL="+address)
				return cmd
			}
			for range 2 {
				if r := run(t, serve("migrate"), ""); r.code != 0 || !strings.Contains(r.stdout, "up to date") {
					t.Fatalf("migrate: exit code %d, %s%s", r.code, r.stdout, r.stderr)
				}
			}
			s.process = serve("serve", "--listen", "127.0.0.1:0")
			s.launch()
			s.sql("create table t as select 1 as n")
			s.signal(syscall.SIGTERM)
			if code := s.process.ProcessState.ExitCode(); code != 0 {
				t.Errorf("SIGTERM: exit code %d", code)
			}
			// The database is still up, and of a newer version it is refused.
			bump := "update tinydev_impl.schema_version set version = version + 1"
			if r := run(t, exec.Command(psqlPath(t), "-X", address, "-c", bump), ""); r.code != 0 {
				t.Fatalf("psql after the stop: %s", r.stderr)
			}
			for _, command := range []string{"serve", "migrate"} {
				if r := run(t, serve(command), ""); r.code != 4 || !strings.Contains(r.stderr, "schema version") {
					t.Errorf("%s on a newer schema: exit code %d, %s", command, r.code, r.stderr)
				}
			}
		})
	}
}

// startBare runs a private PostgreSQL without a server, stopped after the test.
func startBare(t *testing.T) *cluster.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	pg, err := cluster.Open(ctx, cluster.Config{DataDir: tempDir(t), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN"), Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return pg
}

func psqlPath(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("psql"); err == nil {
		return path
	}
	inst, err := cluster.Find(os.Getenv("TINYDEV_POSTGRES_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(inst.BinDir, "psql")
}
