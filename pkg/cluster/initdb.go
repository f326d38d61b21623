package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// locales are tried in order: C.UTF-8 knows the letters of all languages, C is everywhere.
var locales = []string{"C.UTF-8", "C"}

// dataMajor reads the major version of the data in PGDATA; 0 when there is none.
func (l layout) dataMajor() (int, error) {
	text, err := os.ReadFile(filepath.Join(l.pgdata, "PG_VERSION"))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the data: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fault.New(fault.Invalid, "data_dir_invalid", "%s/PG_VERSION is no version of PostgreSQL: %q", l.pgdata, text)
	}
	return major, nil
}

// initialise makes the cluster beside its place and moves it there when it is whole, so that a
// crash in the middle leaves nothing that looks like a cluster.
func (l layout) initialise(ctx context.Context, inst Installation, as account, sync bool) error {
	if entries, err := os.ReadDir(l.pgdata); err == nil && len(entries) > 0 {
		return fault.New(fault.Invalid, "data_dir_invalid", "%s is not empty and holds no PostgreSQL cluster", l.pgdata).
			WithHint("move it away, or choose another --data-dir")
	}
	next := l.pgdata + ".new"
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("clear %s: %w", next, err)
	}
	if err := as.makeDir(next); err != nil {
		return err
	}
	if err := l.initdb(ctx, inst, as, next, sync); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(next, "postgresql.conf"), os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open postgresql.conf: %w", err)
	}
	_, err = fmt.Fprintf(conf, "\ninclude_if_exists '%s'\n# Your own settings go here.\n", settingsFile)
	if closed := conf.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	if err := as.writeFile(filepath.Join(next, "pg_hba.conf"), []byte(accessFile)); err != nil {
		return err
	}
	// In single-user mode, so that pg_cron finds its database at the very first start.
	create := as.command(ctx, "C", filepath.Join(inst.BinDir, "postgres"), "--single", "-D", next, "-c", "shared_preload_libraries=", "-c", "exit_on_error=on", "postgres")
	create.Stdin = strings.NewReader("create database " + Database + "\n")
	if out, err := create.CombinedOutput(); err != nil {
		return l.diskFull(fault.New(fault.Internal, "initdb_failed", "the database %s cannot be created: %s", Database, tail(out)).Because(err))
	}
	if err := os.RemoveAll(l.pgdata); err != nil { // empty, see above
		return fmt.Errorf("clear %s: %w", l.pgdata, err)
	}
	if err := os.Rename(next, l.pgdata); err != nil {
		return fmt.Errorf("move the new cluster to %s: %w", l.pgdata, err)
	}
	return nil
}

func (l layout) initdb(ctx context.Context, inst Installation, as account, dir string, sync bool) error {
	var out []byte
	var err error
	for _, locale := range locales {
		args := []string{
			"-D", dir, "-U", Superuser, "--encoding=UTF8", "--locale=" + locale, "--lc-messages=C",
			"--data-checksums", "--auth-local=trust", "--auth-host=scram-sha-256",
		}
		if !sync {
			args = append(args, "--no-sync")
		}
		out, err = as.command(ctx, locale, filepath.Join(inst.BinDir, "initdb"), args...).CombinedOutput()
		if err == nil {
			return nil
		}
		if !strings.Contains(string(out), "locale") {
			break
		}
	}
	return l.diskFull(fault.New(fault.Internal, "initdb_failed", "initdb failed: %s", tail(out)).Because(err).
		WithHint("look whether user %s may run %s and write to %s", as.name, filepath.Join(inst.BinDir, "initdb"), filepath.Dir(dir)))
}

// diskFull turns a fault that shows a full disk into one that says so.
func (l layout) diskFull(f *fault.Error) *fault.Error {
	if strings.Contains(f.Message, "No space left on device") {
		f.Kind, f.Code = fault.Storage, "disk_full"
		f.Hint = "make room on the disk of " + l.pgdata
	}
	return f
}

// tail gives the last lines of a program's output.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
