package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const poll = 20 * time.Millisecond

// process is a postmaster that we started or adopted.
type process struct {
	pid     int
	adopted bool
	exited  chan struct{} // closed when it has ended
	err     error         // how it ended; valid after exited, nil when adopted
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal does nothing to a process that has ended: its id may be another's by now.
func (p *process) signal(sig syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.pid, sig) // it may end just now, which is what is wanted
	}
}

// wait is true when the process ended within the time and before ctx did.
func (p *process) wait(ctx context.Context, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return !p.alive()
}

// shutDown stops the postmaster: fast, which ends sessions and writes a checkpoint; after patience or
// the end of ctx at once, which the next start recovers from. clean tells whether fast was enough and
// PostgreSQL said so by its exit status (which that of an adopted one does not reach us).
func (p *process) shutDown(ctx context.Context, patience time.Duration) (clean bool) {
	p.signal(syscall.SIGINT)
	if p.wait(ctx, patience) {
		return p.err == nil
	}
	p.signal(syscall.SIGQUIT)
	if p.wait(context.Background(), 5*time.Second) {
		return false
	}
	p.signal(syscall.SIGKILL)
	p.wait(context.Background(), 5*time.Second)
	return false
}

// spawn starts a postmaster that appends its log to the log file.
func (l layout) spawn(inst Installation, as account, env []string) (*process, error) {
	log, err := os.OpenFile(l.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	defer log.Close()
	cmd := as.command(context.Background(), "C", filepath.Join(inst.BinDir, "postgres"), "-D", l.pgdata)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fault.New(fault.Internal, "postgres_start_failed", "PostgreSQL cannot be started: %v", err).Because(err).
			WithHint("look whether user %s may run %s", as.name, cmd.Path)
	}
	p := &process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// adopt follows a postmaster that is not our child.
func adopt(pid int) *process {
	p := &process{pid: pid, adopted: true, exited: make(chan struct{})}
	go func() {
		for isAlive(pid) {
			time.Sleep(100 * time.Millisecond)
		}
		close(p.exited)
	}()
	return p
}

// isAlive tells whether the process runs; a zombie does not.
func isAlive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) || !hasProc()
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func hasProc() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

// isPostgres tells whether the process is a PostgreSQL server; true where the system does not say.
func isPostgres(pid int) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return !hasProc() && isAlive(pid)
	}
	return strings.HasPrefix(string(comm), "postgres")
}

// pidFile is what stands in postmaster.pid.
type pidFile struct {
	pid       int
	port      int
	socketDir string
	ready     bool
}

// readPidFile gives nil when there is no postmaster.pid, or one that is being written.
func (l layout) readPidFile() *pidFile {
	text, err := os.ReadFile(filepath.Join(l.pgdata, "postmaster.pid"))
	if err != nil {
		return nil
	}
	lines := strings.Split(string(text), "\n")
	f := &pidFile{}
	if f.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil || f.pid <= 1 {
		return nil
	}
	if len(lines) > 4 {
		f.port, _ = strconv.Atoi(strings.TrimSpace(lines[3])) // 0 when it is being written
		f.socketDir = lines[4]
	}
	f.ready = len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
	return f
}

// running gives the postmaster that already runs on PGDATA, or nil. What is left of one that died and would
// keep the next one from starting is cleared: pid files whose process id is taken, and orphaned sessions.
func (l layout) running(as account, warn func(string, ...any)) *process {
	f := l.readPidFile()
	if f == nil {
		return nil
	}
	if isAlive(f.pid) && isPostgres(f.pid) && as.worksIn(f.pid, l.pgdata) {
		return adopt(f.pid)
	}
	stale, _ := filepath.Glob(filepath.Join(globQuote(l.socket), ".s.PGSQL.*")) // the pattern is quoted, so never ErrBadPattern
	if !errors.Is(syscall.Kill(f.pid, 0), syscall.ESRCH) {
		// Another program's, or a zombie's that its parent has not reaped: PostgreSQL takes both for a server.
		warn("removing a stale postmaster.pid: its process id is no running PostgreSQL's", "pid", f.pid)
		stale = append(stale, filepath.Join(l.pgdata, "postmaster.pid"))
	}
	for _, path := range stale {
		_ = os.Remove(path) // PostgreSQL says so when it stays
	}
	l.endOrphans(as, warn)
	return nil
}

var globQuote = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace

// worksIn tells whether the process has dir as its working directory, as every process of PostgreSQL
// has PGDATA; true where the system does not say.
func (a account) worksIn(pid int, dir string) bool {
	link := fmt.Sprintf("/proc/%d/cwd", pid)
	cwd, err := os.Readlink(link)
	if errors.Is(err, os.ErrPermission) && a.switched {
		// Root in a container may not look at another user's process, but that user may.
		var out []byte
		out, err = a.command(context.Background(), "C", "/bin/sh", "-c", `cd -- "$1" && pwd -P`, "sh", link).Output()
		cwd = strings.TrimSuffix(string(out), "\n")
	}
	if err != nil {
		return !hasProc()
	}
	x, err1 := os.Stat(cwd)
	y, err2 := os.Stat(dir)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// endOrphans ends the sessions of a postmaster that was killed: PostgreSQL does not start while one
// holds its shared memory, and a busy one notices late.
func (l layout) endOrphans(as account, warn func(string, ...any)) {
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		orphans := l.orphans(as)
		for _, pid := range orphans {
			warn("ending a session that a killed PostgreSQL left behind", "pid", pid, "signal", sig.String())
			_ = syscall.Kill(pid, sig) // it may be gone by itself
		}
		for deadline := time.Now().Add(2 * time.Second); len(orphans) > 0 && time.Now().Before(deadline); orphans = l.orphans(as) {
			time.Sleep(poll)
		}
	}
}

func (l layout) orphans(as account) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // no Linux: PostgreSQL's own checks hold, and the back-off of the supervisor
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && isPostgres(pid) && isAlive(pid) && as.worksIn(pid, l.pgdata) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// The log is rotated above this size: one old file is kept.
const logLimit = 32 << 20

// rotateLog empties a log that has grown large, after copying it to postgres.log.1. PostgreSQL appends to the
// open file, so it goes on at the new end; what it writes between copy and truncation is lost.
func (l layout) rotateLog(limit int64) error {
	info, err := os.Stat(l.logFile)
	if err != nil || info.Size() <= limit {
		return nil // no log yet: nothing to rotate
	}
	in, err := os.Open(l.logFile)
	if err != nil {
		return fmt.Errorf("rotate the log: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(l.logFile+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("rotate the log: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		// The disk may be full, and then an empty log is worth more than an old one.
		err = fmt.Errorf("copy the log: %w", errors.Join(err, os.Remove(l.logFile+".1")))
	}
	return errors.Join(err, os.Truncate(l.logFile, 0))
}

// logSize marks the end of the log now.
func (l layout) logSize() int64 {
	info, err := os.Stat(l.logFile)
	if err != nil {
		return 0
	}
	return info.Size()
}

// logSince gives the last lines of the log after offset.
func (l layout) logSince(offset int64) string {
	f, err := os.Open(l.logFile)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end := l.logSize(); end < offset {
		offset = 0
	} else if end-offset > 8<<10 {
		offset = end - 8<<10
	}
	text, err := io.ReadAll(io.NewSectionReader(f, offset, 8<<10))
	if err != nil {
		return ""
	}
	return tail(text)
}
