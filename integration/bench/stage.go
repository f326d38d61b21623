package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// user owns all that is measured.
const user = "bench"

// stage is where measuring takes place: a private cluster with the settings of `tinydev up`, and the server on it, a process of
// its own.
type stage struct {
	dir    string
	binary string
	pg     *cluster.Cluster
	server *exec.Cmd
	url    string // of the server
	token  string
	log    *os.File
	mail   *mailbox // where the server's e-mail goes
}

func openStage(ctx context.Context, o options) (s *stage, err error) {
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fault.New(fault.Invalid, "binary_missing", "there is no server at %s", o.binary).WithHint("make build makes it; --binary names another").Because(err)
	}
	dir, err := os.MkdirTemp(o.dir, "tinydev-bench-")
	if err != nil {
		return nil, err
	}
	s = &stage{dir: dir, binary: binary}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// PostgreSQL may run as another user than we do, and has to get to its own folder in this one.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	s.pg, err = cluster.Open(ctx, cluster.Config{DataDir: filepath.Join(dir, "cluster"), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN"), Logger: quiet})
	if err != nil {
		return nil, err
	}
	if err := s.pg.Start(ctx); err != nil {
		return nil, err
	}
	conn, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return nil, err
	}
	if err := schema.Install(ctx, conn, schema.Options{Private: true, Logger: quiet}); err != nil { // closes conn
		return nil, err
	}
	if err := s.superuser(ctx, "select tinydev.create_user('"+user+"', admin => true)"); err != nil {
		return nil, err
	}
	if s.mail, err = startMailbox(); err != nil {
		return nil, err
	}
	return s, s.startServer(ctx)
}

// restartServer has a new process take the server's place.
func (s *stage) restartServer(ctx context.Context) error {
	if err := s.stopServer(); err != nil {
		return err
	}
	return s.startServer(ctx)
}

// stopServer ends the server, which has to end well.
func (s *stage) stopServer() error {
	err := s.server.Process.Signal(syscall.SIGTERM)
	if failed := s.server.Wait(); failed != nil {
		text, _ := os.ReadFile(s.log.Name()) // what there is of it
		err = errors.Join(err, fmt.Errorf("the server ended badly: %w\n%s", failed, text))
	}
	s.server = nil
	err = errors.Join(err, s.log.Close())
	s.log = nil
	return err
}

// forwardFile holds the address to which the command "forward" posts.
func (s *stage) forwardFile() string { return filepath.Join(s.dir, "forward") }

// startServer runs the binary and returns when it is ready.
func (s *stage) startServer(ctx context.Context) (err error) {
	data := filepath.Join(s.dir, "server")
	if s.log, err = os.Create(filepath.Join(s.dir, "server.log")); err != nil {
		return err
	}
	s.server = exec.Command(s.binary, "serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--user", user, "--log-level", "warn")
	s.server.Stdout, s.server.Stderr = s.log, s.log
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who then stop it
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TINYDEV_") {
			s.server.Env = append(s.server.Env, entry)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	commands, err := json.Marshal(map[string][]string{"forward": {self, forwardCommand, s.forwardFile()}})
	if err != nil {
		return err
	}
	s.server.Env = append(s.server.Env, "TINYDEV_DATABASE_URL="+s.pg.URL("tinydev_server", cluster.Database), "TINYDEV_WEBHOOK_ALLOW=127.0.0.1/32",
		"TINYDEV_SMTP_URL=smtp://"+s.mail.address, "TINYDEV_SMTP_FROM=bench@example.org", "TINYDEV_COMMANDS="+string(commands),
		"TINYDEV_MAX_STREAMS=1000000", "TINYDEV_MAX_STREAMS_PER_TOKEN=1000000")
	if err := s.server.Start(); err != nil {
		s.server = nil
		return fmt.Errorf("start the server: %w", err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for !s.ready(data) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := os.ReadFile(s.log.Name()) // what there is of it
			return fmt.Errorf("the server is not ready; it said:\n%s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// ready reads what the server wrote for its clients and asks whether it is ready.
func (s *stage) ready(data string) bool {
	text, err := os.ReadFile(filepath.Join(data, "server.json"))
	if err != nil {
		return false
	}
	var running struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(text, &running) != nil {
		return false
	}
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		return false
	}
	s.url, s.token = running.URL, strings.TrimSpace(string(token))
	answer, err := http.Get(s.url + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// close stops the server and PostgreSQL and removes the folder.
func (s *stage) close() error {
	var errs []error
	if s.server != nil {
		errs = append(errs, s.stopServer())
	}
	if s.mail != nil {
		errs = append(errs, s.mail.server.Close())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.pg != nil {
		errs = append(errs, s.pg.Destroy(context.Background()))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// connect opens a session of a role.
func (s *stage) connect(ctx context.Context, role string) (*pgx.Conn, error) {
	return postgres.Connect(ctx, s.pg.URL(role, cluster.Database), "tinydev bench")
}

// superuser runs statements as the superuser, without parameters.
func (s *stage) superuser(ctx context.Context, sql string) error {
	return s.exec(ctx, cluster.Superuser, sql)
}

// exec runs statements in a session of their own, as psql would.
func (s *stage) exec(ctx context.Context, role, sql string) error {
	conn, err := s.connect(ctx, role)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return simple(ctx, conn, sql)
}

// simple runs statements in one message of the simple protocol, as psql and pg_cron do.
func simple(ctx context.Context, conn *pgx.Conn, sql string) error {
	if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", sql, postgres.Fault(err, ""))
	}
	return nil
}

// describe prints the machine and the versions.
func (s *stage) describe(ctx context.Context, w io.Writer) error {
	conn, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version, cron, fsync, synchronous, checksums string
	err = conn.QueryRow(ctx, `select current_setting('server_version'), extversion, current_setting('fsync'), current_setting('synchronous_commit'),
  current_setting('data_checksums') from pg_extension where extname = 'pg_cron'`).Scan(&version, &cron, &fsync, &synchronous, &checksums)
	if err != nil {
		return fmt.Errorf("read the versions: %w", err)
	}
	if v := s.pg.Installation().CronVersion; v != "" {
		cron = v
	}
	flush, err := s.flushTime(ctx, conn)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `command   bench %s
machine   %s, %d cores, %.1f GB of memory, load %s at the start; %s
versions  PostgreSQL %s, pg_cron %s, %s
settings  fsync %s, synchronous_commit %s, checksums %s; a commit that writes takes %.2f ms (median of 50)
`, strings.Join(os.Args[1:], " "), processor(), runtime.NumCPU(), memory(), load(), time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		version, cron, runtime.Version(), fsync, synchronous, checksums, flush)
	return err
}

// flushTime measures a smallest commit, which is mostly the disk's flush.
func (s *stage) flushTime(ctx context.Context, conn *pgx.Conn) (float64, error) {
	if err := simple(ctx, conn, "create table bench.flush (n integer)"); err != nil {
		return 0, err
	}
	var times sample
	for range 50 {
		start := time.Now()
		if err := simple(ctx, conn, "insert into bench.flush values (1)"); err != nil {
			return 0, err
		}
		times.add(time.Since(start))
	}
	return times.median(), simple(ctx, conn, "drop table bench.flush")
}

func processor() string {
	if name := field("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return runtime.GOARCH
}

// load is the number of processes that ran or waited in the last minute: other work on the machine shows in it.
func load() string {
	first, _, _ := strings.Cut(firstLine("/proc/loadavg"), " ")
	return first
}

// memory gives the machine's memory in GB.
func memory() float64 { return float64(kilobytes("/proc/meminfo", "MemTotal")) * 1024 / 1e9 }

// kilobytes reads a line such as "VmRSS:   1234 kB"; 0 when there is none.
func kilobytes(path, name string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(field(path, name), " kB"), 10, 64) // 0
	return n
}

// field gives the text after "name:" in a file of lines; "" when there is none.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path) // "" where there is no such file
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
