package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Config says where a cluster lies and how it runs.
type Config struct {
	DataDir  string            // made when missing
	BinDir   string            // folder of the server binaries; empty looks for them, see Find
	Port     int               // TCP port on 127.0.0.1; 0 keeps the last one, or takes a free one
	OSUser   string            // who runs PostgreSQL when we are root; empty chooses
	Settings map[string]string // PostgreSQL settings over ours; fsync=off also speeds up the making
	Env      []string          // more of the environment that PostgreSQL is started with, NAME=value
	Logger   *slog.Logger      // nil is slog.Default
}

// Cluster is one private PostgreSQL. Its methods may be called from several goroutines.
type Cluster struct {
	cfg  Config
	inst Installation
	as   account
	log  *slog.Logger

	mu     sync.Mutex // guards what follows; never held while waiting for PostgreSQL
	layout layout
	lock   *os.File
	port   int
	proc   *process           // nil before the first start
	end    context.CancelFunc // ends the supervision; nil while stopped
	ended  chan struct{}      // closed when the supervision has ended
	ready  bool
}

// stopPatience is how long a fast shutdown may take before an immediate one follows.
const stopPatience = 30 * time.Second

// Open takes the data directory for this process and makes the cluster in it when there is none.
//
// It takes about a second when it makes one. Nothing runs until Start. Errors: conflict data_dir_in_use
// when another process has it (fields.pid); those of Find; invalid data_version when the data is of a
// major version that is not installed; forbidden data_dir_owner; internal initdb_failed.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, log: cfg.Logger}
	if c.log == nil {
		c.log = slog.Default()
	}
	var err error
	if c.layout, err = newLayout(cfg.DataDir); err != nil {
		return nil, err
	}
	if c.as, err = chooseAccount(cfg.OSUser, c.layout.pgdata); err != nil {
		return nil, err
	}
	if err := c.layout.makeDataDir(c.as); err != nil {
		return nil, err
	}
	if c.layout, err = newLayout(cfg.DataDir); err != nil { // again: now links in its path resolve
		return nil, err
	}
	if c.lock, err = c.layout.takeLock(); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		c.unlock()
		return nil, err
	}
	return c, nil
}

// prepare finds the binaries and makes what is missing. The lock is held.
func (c *Cluster) prepare(ctx context.Context) error {
	major, err := c.layout.dataMajor()
	if err != nil {
		return err
	}
	c.inst, err = find(c.cfg.BinDir, major)
	if err != nil {
		return err
	}
	if major != 0 && major != c.inst.Major {
		return fault.New(fault.Invalid, "data_version", "the data in %s is of PostgreSQL %d, and %s holds PostgreSQL %s", c.layout.pgdata, major, c.inst.BinDir, c.inst.Version).
			WithHint("point TINYDEV_POSTGRES_BIN at PostgreSQL %d, or bring the data over with pg_upgrade", major).
			With("data_major", major).With("server_major", c.inst.Major)
	}
	if !c.as.canEnter(ctx, c.inst.BinDir) {
		return fault.New(fault.Forbidden, "postgres_not_reachable", "user %s, who runs PostgreSQL, cannot enter %s", c.as.name, c.inst.BinDir).
			WithHint("open the folders above it (chmod o+x), or use another installation")
	}
	if err := c.layout.place(ctx, c.as, c.log.Warn); err != nil {
		return err
	}
	if major == 0 {
		c.log.Info("making a PostgreSQL cluster", "pgdata", c.layout.pgdata, "version", c.inst.Version, "pg_cron", c.inst.CronVersion, "user", c.as.name)
		return c.layout.initialise(ctx, c.inst, c.as, c.cfg.Settings["fsync"] != "off")
	}
	return nil
}

// takeLock locks the data directory for this process; the lock ends with the process at the latest.
func (l layout) takeLock() (*os.File, error) {
	f, err := os.OpenFile(l.lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, l.unusable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, l.unusable(err)
		}
		pid := l.lockHolder()
		return nil, fault.New(fault.Conflict, "data_dir_in_use", "the data directory %s is in use by process %d", l.dataDir, pid).
			With("pid", pid).WithHint("stop it with `tinydev down`, or choose another --data-dir")
	}
	if err := errors.Join(f.Truncate(0), writeAll(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.Close()
		return nil, l.unusable(err)
	}
	return f, nil
}

func writeAll(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// lockHolder reads who wrote the lock; 0 when that is not to be read.
func (l layout) lockHolder() int {
	text, err := os.ReadFile(l.lock)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text))) // 0 when it is being written
	return pid
}

func (c *Cluster) unlock() {
	if c.lock != nil {
		_ = c.lock.Close() // closing is what unlocks; there is nothing to lose in it
		c.lock = nil
	}
}

// Start runs PostgreSQL and returns when it takes connections to the database tinydev.
//
// A PostgreSQL that a killed server left running is adopted, or restarted when its settings changed. From
// then on it is restarted whenever it ends, with a growing pause, until Stop. A recovery after a crash is
// waited for as long as ctx lives. Errors: conflict port_in_use; internal postgres_start_failed with the last lines of the log.
func (c *Cluster) Start(ctx context.Context) error {
	c.mu.Lock()
	if c.end != nil {
		c.mu.Unlock()
		return nil
	}
	if c.lock == nil { // stopped before
		lock, err := c.layout.takeLock()
		if err != nil {
			c.mu.Unlock()
			return err
		}
		c.lock = lock
	}
	supervision, end := context.WithCancel(context.Background())
	c.end, c.ended = end, make(chan struct{})
	c.mu.Unlock()

	starting, cancel := context.WithCancel(ctx)
	stopWatch := context.AfterFunc(supervision, cancel) // Stop ends a start that is under way
	err := c.launch(starting)
	stopWatch()
	cancel()
	if err != nil {
		close(c.ended)
		return errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	go c.supervise(supervision)
	return nil
}

// supervise restarts PostgreSQL when it ends, until ctx ends.
func (c *Cluster) supervise(ctx context.Context) {
	defer close(c.ended)
	const shortest, longest, calm = 100 * time.Millisecond, 10 * time.Second, time.Minute
	rotate := time.NewTicker(time.Minute)
	defer rotate.Stop()
	pause, since := shortest, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rotate.C:
			if err := c.layout.rotateLog(logLimit); err != nil {
				c.log.Warn("PostgreSQL's log was not rotated", "error", err)
			}
			continue
		case <-c.current().exited:
		}
		c.setReady(false)
		if time.Since(since) > calm {
			pause = shortest
		}
		c.log.Error("PostgreSQL ended, restarting it", "pid", c.current().pid, "how", fmt.Sprint(c.current().err), "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause, since = min(2*pause, longest), time.Now()
		if err := c.launch(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("PostgreSQL does not start", "error", err)
		}
	}
}

func (c *Cluster) current() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proc
}

func (c *Cluster) setReady(ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = ready
}

// launch adopts or starts a postmaster and waits until it is ready.
func (c *Cluster) launch(ctx context.Context) error {
	if err := c.layout.rotateLog(logLimit); err != nil {
		c.log.Warn("PostgreSQL's log was not rotated", "error", err)
	}
	running := c.layout.running(c.as, c.log.Warn)
	for attempt := 1; ; attempt++ {
		port, chosen, err := c.pickPort(running, attempt)
		if err != nil {
			return err
		}
		changed, err := c.layout.writeSettings(c.as, settingsText(c.layout.settings(port, c.inst.CronVersion, c.cfg.Settings)))
		if err != nil {
			return err
		}
		if running != nil && changed {
			c.log.Info("restarting the PostgreSQL that was left running, since its settings changed", "pid", running.pid)
			running.shutDown(ctx, stopPatience)
			running = nil
		}
		mark := c.layout.logSize()
		if running != nil {
			c.log.Info("adopting the PostgreSQL that was left running", "pid", running.pid, "port", port)
		} else if running, err = c.layout.spawn(c.inst, c.as, c.cfg.Env); err != nil {
			return err
		}
		c.mu.Lock()
		c.proc, c.port = running, port
		c.mu.Unlock()
		err = c.waitReady(ctx, running, mark)
		if err == nil {
			c.setReady(true)
			c.log.Info("PostgreSQL is ready", "pid", running.pid, "port", port, "socket", c.layout.socket)
			return nil
		}
		if ctx.Err() == nil && running.alive() {
			running.shutDown(ctx, stopPatience) // it is up and does not let us in: the next one may
		}
		// Another program may take a free port between the look and the start.
		if fault.CodeOf(err) != "port_in_use" || !chosen || attempt == 5 {
			return err
		}
		running = nil
	}
}

// pickPort gives the port to listen on; chosen tells that we are free to take another.
func (c *Cluster) pickPort(running *process, attempt int) (port int, chosen bool, err error) {
	if text, ok := c.cfg.Settings["port"]; ok {
		if port, err = strconv.Atoi(text); err != nil {
			return 0, false, fault.New(fault.Invalid, "port_invalid", "the setting port is no number: %q", text)
		}
		return port, false, nil
	}
	kept := c.layout.keptPort()
	switch {
	case c.cfg.Port < 0 || c.cfg.Port > 65535:
		return 0, false, fault.New(fault.Invalid, "port_invalid", "the port %d is not in 0..65535", c.cfg.Port)
	case c.cfg.Port != 0:
		return c.cfg.Port, false, nil
	case kept != 0 && attempt == 1 && (running != nil || portFree(kept)):
		return kept, true, nil
	case kept != 0 && attempt == 1:
		c.log.Warn("another program has the port of the last start, taking another", "port", kept)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, false, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, true, nil
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// waitReady returns when p takes connections, has ended, or ctx has.
func (c *Cluster) waitReady(ctx context.Context, p *process, mark int64) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	started, said := time.Now(), time.Now()
	for {
		select {
		case <-p.exited:
			return c.startFault(p, mark)
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", ctx.Err())
		case <-ticker.C:
		}
		if f := c.layout.readPidFile(); f != nil && f.pid == p.pid && f.ready {
			err := c.ensureDatabase(ctx)
			if err == nil {
				return nil
			}
			if p.alive() && time.Since(started) > time.Minute {
				return fmt.Errorf("connect to PostgreSQL: %w", err)
			}
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			c.log.Info("PostgreSQL is still starting", "for", time.Since(started).Round(time.Second), "log", c.layout.logSince(mark))
		}
	}
}

// startFault tells why a postmaster ended before it was ready.
func (c *Cluster) startFault(p *process, mark int64) error {
	log := c.layout.logSince(mark)
	c.mu.Lock()
	port := c.port
	c.mu.Unlock()
	if strings.Contains(log, "could not bind") || strings.Contains(log, "could not create any TCP/IP sockets") {
		return fault.New(fault.Conflict, "port_in_use", "port %d on 127.0.0.1 is in use by another program", port).
			Because(p.err).With("port", port).With("log", log).WithHint("stop it, or choose another port; 0 takes a free one")
	}
	f := fault.New(fault.Internal, "postgres_start_failed", "PostgreSQL ended while starting (%v):\n%s", p.err, log).Because(p.err).With("log", log).
		WithHint("the whole log is %s", c.layout.logFile)
	return c.layout.diskFull(f)
}

// ensureDatabase makes the database tinydev when it is missing.
func (c *Cluster) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL(Superuser, "postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // a failed goodbye changes nothing
	var there bool
	if err := conn.QueryRow(ctx, `select exists (select from pg_catalog.pg_database where datname = $1)`, Database).Scan(&there); err != nil {
		return fmt.Errorf("look for the database %s: %w", Database, err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `create database `+pgx.Identifier{Database}.Sanitize()); err != nil {
		return fmt.Errorf("create the database %s: %w", Database, err)
	}
	return nil
}

// Stop shuts PostgreSQL down and gives the data directory free. Sessions are ended and a checkpoint is
// written; when that takes over 30 seconds, or ctx ends, PostgreSQL is stopped at once, recovers at the
// next start, and the error unavailable stop_not_clean says so. Stop of a stopped cluster is nil; Start may follow.
func (c *Cluster) Stop(ctx context.Context) error {
	p := c.endSupervision()
	defer c.unlockStopped()
	if p == nil || !p.alive() || p.shutDown(ctx, stopPatience) {
		return nil
	}
	return stopFault()
}

func stopFault() error {
	return fault.New(fault.Unavailable, "stop_not_clean", "PostgreSQL did not shut down cleanly").
		WithHint("nothing that was committed is lost: it recovers at the next start")
}

// Abandon ends the supervision and gives the data directory free, but leaves PostgreSQL running, as a
// kill -9 of this process would. The next Start adopts it.
func (c *Cluster) Abandon() {
	c.endSupervision()
	c.unlockStopped()
}

func (c *Cluster) endSupervision() *process {
	c.mu.Lock()
	end, ended := c.end, c.ended
	c.mu.Unlock()
	if end != nil {
		end()
		<-ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end, c.ready = nil, false
	return c.proc
}

func (c *Cluster) unlockStopped() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlock()
}

// Destroy stops PostgreSQL and deletes the data directory with all data.
func (c *Cluster) Destroy(ctx context.Context) error {
	err := c.Stop(ctx)
	if fault.CodeOf(err) == "stop_not_clean" {
		err = nil
	}
	return errors.Join(err, c.layout.remove())
}

// Kill ends the postmaster with SIGKILL, as a crash would; the supervision restarts it.
func (c *Cluster) Kill() {
	if p := c.current(); p != nil {
		p.signal(syscall.SIGKILL)
	}
}

// Ready tells whether PostgreSQL takes connections, as far as the supervision knows.
func (c *Cluster) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready && c.proc.alive()
}

// URL is the address of a database over the Unix socket, for psql and pgx alike. It holds no secret.
func (c *Cluster) URL(user, database string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=%s", strings.ReplaceAll(escape(database), "/", "%2F"), escape(c.layout.socket), c.port, escape(user))
}

// escape percent-encodes all but letters, digits and -._~/ : libpq reads a + as it stands.
func escape(s string) string {
	var b strings.Builder
	for _, x := range []byte(s) {
		if x >= 'a' && x <= 'z' || x >= 'A' && x <= 'Z' || x >= '0' && x <= '9' || strings.IndexByte("-._~/", x) >= 0 {
			b.WriteByte(x)
		} else {
			fmt.Fprintf(&b, "%%%02X", x)
		}
	}
	return b.String()
}

// Installation tells which binaries run.
func (c *Cluster) Installation() Installation { return c.inst }

// Port is the TCP port on 127.0.0.1; 0 before the first start.
func (c *Cluster) Port() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.port
}

// PID is the process id of the postmaster; 0 before the first start.
func (c *Cluster) PID() int {
	if p := c.current(); p != nil {
		return p.pid
	}
	return 0
}

// SocketDir is the folder of the Unix socket.
func (c *Cluster) SocketDir() string { return c.layout.socket }

// PGData is PostgreSQL's own data folder.
func (c *Cluster) PGData() string { return c.layout.pgdata }

// Account names the user of the operating system that PostgreSQL runs as.
func (c *Cluster) Account() string { return c.as.name }
