package cluster

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Down stops what runs on a data directory, and is what `tinydev down` does: the server that has it gets
// SIGTERM and is waited for; a PostgreSQL that a killed server left behind is shut down. stopped is false
// when nothing ran.
//
// Errors: not_found data_dir_not_found; unavailable stop_timeout when the server still runs at the end
// of ctx (fields.pid); unavailable stop_not_clean as of Stop.
func Down(ctx context.Context, dataDir string) (stopped bool, err error) {
	l, err := newLayout(dataDir)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(l.lock); err != nil {
		return false, fault.New(fault.NotFound, "data_dir_not_found", "no server was ever started on %s", l.dataDir).
			Because(err).WithHint("name its directory with --data-dir or TINYDEV_DATA_DIR")
	}
	as, err := chooseAccount("", l.pgdata)
	if err != nil {
		return false, err
	}
	told := 0
	for {
		lock, err := l.takeLock()
		if err == nil {
			defer lock.Close()
			break
		}
		if fault.CodeOf(err) != "data_dir_in_use" {
			return stopped, err
		}
		// The lock is held, so the process that wrote it is alive and its id nobody else's.
		if pid := l.lockHolder(); pid > 1 && pid != told && pid != os.Getpid() {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return stopped, fault.New(fault.Forbidden, "stop_refused", "the server, process %d, cannot be told to stop: %v", pid, err).Because(err).
					WithHint("run as the user who started it").With("pid", pid)
			}
			told, stopped = pid, true
		}
		select {
		case <-ctx.Done():
			return stopped, fault.New(fault.Unavailable, "stop_timeout", "the server, process %d, has not stopped yet", l.lockHolder()).
				Because(ctx.Err()).With("pid", l.lockHolder())
		case <-time.After(poll):
		}
	}
	p := l.running(as, slog.Default().Warn)
	if p == nil {
		return stopped, nil
	}
	if !p.shutDown(ctx, stopPatience) {
		return true, stopFault()
	}
	return true, nil
}
