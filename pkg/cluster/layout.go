package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// ours are the names in a data directory; one of them tells that a folder is one.
var ours = []string{"postgres", "run", "log", "lock", "spool", "token", "server.json", "ca", "client"}

// elsewhere is where the data lies when PostgreSQL's user cannot enter the data directory.
const elsewhere = "/var/lib/tinydev"

// The longest folder of a socket: sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, with
// the socket's own name and a final NUL.
const longestSocketDir = 104 - len("/.s.PGSQL.65535") - 1

// layout is where things lie.
type layout struct {
	dataDir string // absolute
	pgdata  string // <data-dir>/postgres, links followed
	socket  string // the socket's folder, links followed
	logFile string
	lock    string
}

func newLayout(dataDir string) (layout, error) {
	if dataDir == "" {
		return layout{}, fault.New(fault.Invalid, "data_dir_invalid", "the data directory is not given").WithHint("set --data-dir or TINYDEV_DATA_DIR")
	}
	if strings.ContainsRune(dataDir, 0) {
		return layout{}, fault.New(fault.Invalid, "data_dir_invalid", "the data directory %q holds a NUL", dataDir)
	}
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return layout{}, fmt.Errorf("resolve %s: %w", dataDir, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real // one name for one directory: the socket's fallback is named after it
	}
	return layout{
		dataDir: abs,
		pgdata:  follow(filepath.Join(abs, "postgres")),
		socket:  follow(filepath.Join(abs, "run")),
		logFile: filepath.Join(abs, "log", "postgres.log"),
		lock:    filepath.Join(abs, "lock"),
	}, nil
}

// makeDataDir makes the data directory and its log folder. The directory is closed to others; when
// PostgreSQL has a user of its own it can be passed through (0711), and each thing in it is closed.
func (l layout) makeDataDir(as account) error {
	if err := os.MkdirAll(filepath.Dir(l.dataDir), 0o755); err != nil {
		return l.unusable(err)
	}
	err := os.Mkdir(l.dataDir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return l.unusable(err)
	}
	entries, err := os.ReadDir(l.dataDir)
	if err != nil {
		return l.unusable(err)
	}
	// A folder of something else is left as it is, its mode too.
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return slices.Contains(ours, e.Name()) }) {
		return l.unusable(errors.New("it holds other things, and nothing of tinydev"))
	}
	mode := os.FileMode(0o700)
	if as.switched {
		mode = 0o711
	}
	if err := os.Chmod(l.dataDir, mode); err != nil {
		return l.unusable(err)
	}
	if err := os.MkdirAll(filepath.Dir(l.logFile), 0o700); err != nil {
		return l.unusable(err)
	}
	return nil
}

func (l layout) unusable(cause error) error {
	return fault.New(fault.Invalid, "data_dir_invalid", "the data directory %s cannot be used: %v", l.dataDir, cause).
		Because(cause).WithHint("choose another with --data-dir or TINYDEV_DATA_DIR")
}

// place settles where PGDATA and the socket lie, and makes the socket's folder.
func (l *layout) place(ctx context.Context, as account, warn func(string, ...any)) error {
	if ownerOf(l.pgdata) < 0 && !as.canEnter(ctx, l.dataDir) {
		if err := l.moveElsewhere(as); err != nil {
			return err
		}
		warn("PostgreSQL's user cannot enter the data directory, so the database lies elsewhere", "user", as.name, "data_dir", l.dataDir, "pgdata", l.pgdata)
	}
	if len(l.socket) <= longestSocketDir && !strings.Contains(l.socket, ",") { // a comma separates hosts in a connection string
		return as.makeDir(l.socket)
	}
	base := "/tmp"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && !as.switched && ownerOf(dir) == as.uid {
		base = dir
	}
	short := filepath.Join(base, fmt.Sprintf("tinydev-%d-%s", as.uid, l.hash()))
	if len(short) > longestSocketDir || strings.Contains(short, ",") {
		short = filepath.Join("/tmp", filepath.Base(short))
	}
	if err := as.makeDir(short); err != nil {
		return err
	}
	l.socket = short
	return nil
}

// hash names the data directory in 12 characters.
func (l layout) hash() string {
	sum := sha256.Sum256([]byte(l.dataDir))
	return hex.EncodeToString(sum[:6])
}

// moveElsewhere makes a new folder for the data under /var/lib/tinydev and links to it. The links are
// the only record of it: a data directory that was deleted never gets its old data back by accident.
func (l *layout) moveElsewhere(as account) error {
	if err := os.MkdirAll(elsewhere, 0o711); err != nil {
		return fmt.Errorf("make %s: %w", elsewhere, err)
	}
	base, err := os.MkdirTemp(elsewhere, l.hash()+"-")
	if err != nil {
		return fmt.Errorf("make a folder in %s: %w", elsewhere, err)
	}
	if err := os.Chmod(base, 0o711); err != nil {
		return fmt.Errorf("open %s to user %s: %w", base, as.name, err)
	}
	for _, link := range []struct {
		name string
		path *string
	}{{"run", &l.socket}, {"postgres", &l.pgdata}} { // postgres last: it says that both are there
		from := filepath.Join(l.dataDir, link.name)
		if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear %s: %w", from, err)
		}
		*link.path = filepath.Join(base, link.name)
		if err := os.Symlink(*link.path, from); err != nil {
			return fmt.Errorf("link %s: %w", from, err)
		}
	}
	return nil
}

// remove deletes all that Open and Start made, and the data with it.
func (l layout) remove() error {
	errs := []error{os.RemoveAll(l.pgdata), os.RemoveAll(l.socket)}
	if strings.HasPrefix(l.pgdata, elsewhere+"/") {
		errs = append(errs, os.RemoveAll(filepath.Dir(l.pgdata)))
	}
	return errors.Join(append(errs, os.RemoveAll(l.dataDir))...)
}
