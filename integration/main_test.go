// Package integration tests the built binary as people use it: against the private cluster of "tinydev up", and against
// PostgreSQL in the container of Dockerfile.postgres with "tinydev serve".
//
// TINYDEV_TEST_SERVER chooses local (the default), container, or all. pg_cron before 1.5 has no intervals of seconds: there the
// first run of such a job may be a minute away, hence the long deadlines and the parallel tests.
package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// patience is how long the first run of a job may take: up to a minute for the next one of pg_cron, and a busy machine.
const patience = 130 * time.Second

// user is the first user of every server here.
const user = "ann"

// binary is the built program.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tinydev-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tinydev")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/tinydev")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// onEach runs a test against each kind of server that TINYDEV_TEST_SERVER asks for, in parallel.
func onEach(t *testing.T, test func(t *testing.T, s *server)) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newServer(t, kind == "container").start())
		})
	}
}

func kinds(t *testing.T) []string {
	t.Helper()
	switch way := os.Getenv("TINYDEV_TEST_SERVER"); way {
	case "", "local":
		return []string{"local"}
	case "container":
		return []string{"container"}
	case "all":
		return []string{"local", "container"}
	default:
		t.Fatalf("TINYDEV_TEST_SERVER is %q; use local, container or all", way)
		return nil
	}
}

// localOnly runs a test of what the private cluster does; in a run on containers alone there is none.
func localOnly(t *testing.T) {
	t.Helper()
	t.Parallel()
	if !slices.Contains(kinds(t), "local") {
		t.Skip("TINYDEV_TEST_SERVER is container: this tests the private cluster")
	}
}

// server is a running "tinydev up", or "tinydev serve" on a container, with a data directory of its own.
type server struct {
	t         *testing.T
	dataDir   string
	container *pgtest.Container // nil for the private cluster
	process   *exec.Cmd
	exited    chan struct{} // closed when process has ended
	log       *output
}

func newServer(t *testing.T, inContainer bool) *server {
	t.Helper()
	s := &server{t: t, dataDir: filepath.Join(tempDir(t), "it's data"), log: &output{}}
	if inContainer {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		container, err := pgtest.StartContainer(ctx, pgtest.ContainerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { container.Close() })
		s.container = container
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
		if r := s.command("down"); r.code != 0 && s.process != nil {
			t.Errorf("down: %s", r.stderr)
		}
	})
	return s
}

// tempDir is a folder that PostgreSQL's own user may pass through, removed after the test.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tinydev-it-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start runs the server, with more in its environment, and waits until it says that it is ready.
func (s *server) start(env ...string) *server {
	s.t.Helper()
	if s.container != nil {
		s.process = s.prepare("serve", "--listen", "127.0.0.1:0")
		s.process.Env = append(s.process.Env, "TINYDEV_DATABASE_URL="+s.container.SuperuserDSN())
	} else {
		s.process = s.prepare("up", "--listen", "127.0.0.1:0")
	}
	s.process.Env = append(s.process.Env, env...)
	s.launch()
	return s
}

// launch starts process as the server.
func (s *server) launch() {
	s.t.Helper()
	mark := s.log.Len()
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited, process := make(chan struct{}), s.process
	s.exited = exited
	go func() { process.Wait(); close(exited) }()
	eventually(s.t, 90*time.Second, "the server is ready", func() bool {
		select {
		case <-exited:
			s.t.Fatalf("the server ended: %v", process.ProcessState)
		default:
		}
		return strings.Contains(s.log.String()[mark:], "is ready: http")
	})
}

// signal sends a signal to the server alone and waits until it has ended.
func (s *server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server has not ended 30 s after %v", signal)
	}
}

// environment is ours without what would configure the binary, but with the folder of PostgreSQL.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TINYDEV_") && !strings.HasPrefix(v, "TINYDEV_POSTGRES_BIN=") || strings.HasPrefix(v, "DATABASE_URL=")
	})
	return append(env, more...)
}

// prepare makes a command of the binary on the server's data directory.
func (s *server) prepare(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = environment("TINYDEV_DATA_DIR="+s.dataDir, "TINYDEV_USER="+user)
	cmd.Dir = filepath.Dir(s.dataDir)
	return cmd
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// command runs the binary to its end.
func (s *server) command(args ...string) result { return s.commandWith("", args...) }

func (s *server) commandWith(stdin string, args ...string) result {
	s.t.Helper()
	return run(s.t, s.prepare(args...), stdin)
}

func run(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", cmd, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs the binary and gives what it printed; it has to succeed.
func (s *server) must(args ...string) string {
	s.t.Helper()
	r := s.command(args...)
	if r.code != 0 {
		s.t.Fatalf("tinydev %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// sql runs statements in psql as the first user and gives the bare values.
func (s *server) sql(statements string) string {
	s.t.Helper()
	return strings.TrimSpace(s.must("psql", "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statements))
}

// client calls the server as the first user, also after it came back on another port.
func (s *server) client() *client.Client { return client.New(client.Locate("", "", s.dataDir)) }

// postmaster is the process id of the private cluster's PostgreSQL.
func (s *server) postmaster() int {
	s.t.Helper()
	var pid int
	text, err := os.ReadFile(filepath.Join(s.dataDir, "postgres", "postmaster.pid"))
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// write makes a file in the folder that commands run in.
func (s *server) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.dataDir), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// eventually waits for a condition.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	pgtest.Eventually(t, limit, what, condition)
}

// output gathers what processes write.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}
