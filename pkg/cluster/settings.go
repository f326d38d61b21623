package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names in every private cluster.
const (
	Database  = "tinydev"           // where the schema and pg_cron live
	Superuser = "tinydev_superuser" // installs, and never refreshes
)

// settingsFile stands in PGDATA and is written anew at each start. postgresql.conf includes it, so
// that what is set after that line, or by ALTER SYSTEM, wins over it.
const settingsFile = "tinydev.conf"

// accessFile is pg_hba.conf.
const accessFile = `# Written by tinydev when the cluster was made.
# The socket's folder is open to its owner alone.
local  all          all                trust
local  replication  all                trust
host   all          all  127.0.0.1/32  scram-sha-256
host   all          all  ::1/128       scram-sha-256
`

// settings are those that pg_cron needs and those of the place; extra wins.
func (l layout) settings(port int, cron string, extra map[string]string) map[string]string {
	s := map[string]string{
		"shared_preload_libraries": "pg_cron",
		"cron.database_name":       Database,
		// The other mode connects by libpq, and reports false failures above its limit.
		"cron.use_background_workers": "on",
		// A limit above max_worker_processes - 1 falls back to 5 without a word.
		"cron.max_running_jobs":      "32",
		"max_worker_processes":       "64",
		"cron.timezone":              "GMT",
		"cron.enable_superuser_jobs": "off",
		"cron.log_statement":         "off",

		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": quoteListItem(l.socket),
		"unix_socket_permissions": "0700",
		"password_encryption":     "scram-sha-256",
		"max_connections":         "200",
		// What one session may write beside the data; below 15 only a superuser may set it for one role.
		"temp_file_limit": "4GB",

		"cluster_name":      "tinydev",
		"timezone":          "UTC",
		"log_timezone":      "UTC",
		"log_destination":   "stderr",
		"logging_collector": "off",
		"log_line_prefix":   "%m [%p] %q%u@%d ",
	}
	if versionLess(cron, "1.5") {
		// Below 1.5 the launcher waits for each background worker: one long job would stop all others.
		s["cron.use_background_workers"] = "off"
		s["cron.host"] = l.socket
	}
	maps.Copy(s, extra)
	return s
}

// settingsText writes settings as a configuration file, sorted.
func settingsText(settings map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by tinydev at each start. Put your own settings below the include line in\n# postgresql.conf, or use ALTER SYSTEM.\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = %s\n", name, quoteSetting(settings[name]))
	}
	return b.Bytes()
}

// quoteSetting quotes a value for a configuration file, where backslashes escape.
func quoteSetting(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`, "\r", `\r`).Replace(value) + "'"
}

// quoteListItem quotes one path of a comma-separated list.
func quoteListItem(path string) string {
	return `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
}

var portLine = regexp.MustCompile(`(?m)^port = '([0-9]+)'$`)

// keptPort is the port of the last start; 0 when there was none.
func (l layout) keptPort() int {
	text, err := os.ReadFile(filepath.Join(l.pgdata, settingsFile))
	if err != nil {
		return 0
	}
	m := portLine.FindSubmatch(text)
	if m == nil {
		return 0
	}
	port, _ := strconv.Atoi(string(m[1])) // digits by the expression
	return port
}

// writeSettings writes the settings file, whole or not at all, and tells whether it changed.
func (l layout) writeSettings(as account, text []byte) (changed bool, err error) {
	path := filepath.Join(l.pgdata, settingsFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return false, nil
	}
	return true, as.writeFile(path, text)
}

// writeFile writes a file (0600, owned by the account), whole or not at all. The folder is the account's, so
// as root we must not follow a link that it put there: the file is always a new one.
func (a account) writeFile(path string, text []byte) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear %s: %w", next, err)
	}
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err == nil && a.switched {
		err = f.Chown(a.uid, a.gid)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
