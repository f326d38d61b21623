package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// takeLock takes the data directory for a server without a cluster of its own, by the same file as pkg/cluster: `tinydev down`
// finds the server by it. The lock ends with the process at the latest. Errors: conflict data_dir_in_use.
func takeLock(dataDir string) (*os.File, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fault.New(fault.Invalid, "data_dir_invalid", "the data directory %s cannot be used: %v", dataDir, err).
			WithHint("choose another with --data-dir or TINYDEV_DATA_DIR").Because(err)
	}
	path := filepath.Join(dataDir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Invalid, "data_dir_invalid", "the data directory %s cannot be used: %v", dataDir, err).
			WithHint("choose another with --data-dir or TINYDEV_DATA_DIR").Because(err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		text, _ := os.ReadFile(path) // who holds it is only told
		_ = file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		pid := strings.TrimSpace(string(text))
		return nil, fault.New(fault.Conflict, "data_dir_in_use", "the data directory %s is in use by process %s", dataDir, pid).
			With("pid", pid).WithHint("stop it with `tinydev down`, or choose another --data-dir")
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return file, nil
}
