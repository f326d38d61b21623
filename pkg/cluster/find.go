package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// The majors of PostgreSQL that TinyDevCRM runs on, and the oldest pg_cron.
const (
	OldestMajor = 12
	NewestMajor = 18
	OldestCron  = "1.4"
)

// Installation is one set of PostgreSQL server binaries.
type Installation struct {
	BinDir      string // absolute folder of postgres and initdb
	Version     string // as the server says it: "15.20"
	Major       int    // 15
	CronVersion string // what `create extension pg_cron` would install: "1.6"; empty without pg_cron
}

// HasCron tells whether the installation has a pg_cron that is new enough.
func (i Installation) HasCron() bool {
	return i.CronVersion != "" && !versionLess(i.CronVersion, OldestCron)
}

// String is one line for people.
func (i Installation) String() string {
	cron := "without pg_cron"
	if i.CronVersion != "" {
		cron = "pg_cron " + i.CronVersion
	}
	return fmt.Sprintf("PostgreSQL %s, %s, %s", i.Version, cron, i.BinDir)
}

// Find locates PostgreSQL server binaries with pg_cron.
//
// A given folder (TINYDEV_POSTGRES_BIN) is the only one looked at. Without one: the folders of PATH,
// then those of distributions, newest major first. An installation with pg_cron wins over one without.
// Errors: not_found postgres_not_found or pg_cron_not_found, invalid postgres_version; each says where
// was looked.
func Find(given string) (Installation, error) { return find(given, 0) }

// find is Find for one major version; 0 takes any.
func find(given string, major int) (Installation, error) {
	if given != "" {
		inst, err := inspect(given)
		if err != nil {
			return Installation{}, err
		}
		return inst, inst.usable()
	}
	var found []Installation
	var looked, refused []string
	for _, dir := range folders() {
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err != nil {
			continue
		}
		looked = append(looked, dir)
		inst, err := inspect(dir)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		if major != 0 && inst.Major != major {
			continue
		}
		if inst.usable() == nil {
			return inst, nil
		}
		found = append(found, inst)
	}
	if len(found) > 0 {
		return found[0], found[0].usable()
	}
	f := fault.New(fault.NotFound, "postgres_not_found", "no PostgreSQL server (version %d to %d) was found in PATH or in the folders of distributions", OldestMajor, NewestMajor)
	if major != 0 {
		f.Message = fmt.Sprintf("the data needs PostgreSQL %d, and no server of that version was found in PATH or in the folders of distributions", major)
	}
	if len(refused) > 0 {
		f.Message += "; " + strings.Join(refused, "; ")
	}
	return Installation{}, f.With("looked", looked).
		WithHint("install the PostgreSQL server (`make run` does), or set TINYDEV_POSTGRES_BIN to the folder that holds postgres and initdb")
}

// usable is nil, or the reason why the installation will not do.
func (i Installation) usable() error {
	switch {
	case i.Major < OldestMajor || i.Major > NewestMajor:
		return fault.New(fault.Invalid, "postgres_version", "PostgreSQL %s in %s is not supported: versions %d to %d are", i.Version, i.BinDir, OldestMajor, NewestMajor).
			WithHint("set TINYDEV_POSTGRES_BIN to the folder of another version")
	case i.CronVersion == "":
		return fault.New(fault.NotFound, "pg_cron_not_found", "PostgreSQL %s in %s has no pg_cron", i.Version, i.BinDir).
			WithHint("`extensions/pg_cron/install --pg-config %s` builds and installs it", filepath.Join(i.BinDir, "pg_config"))
	case !i.HasCron():
		return fault.New(fault.Invalid, "pg_cron_too_old", "pg_cron %s of PostgreSQL %s in %s is too old: %s or newer is needed", i.CronVersion, i.Version, i.BinDir, OldestCron).
			WithHint("remove it and run `extensions/pg_cron/install --pg-config %s`", filepath.Join(i.BinDir, "pg_config"))
	}
	return nil
}

// folders lists the folders that may hold a server, best first, each once.
func folders() []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // packages of postgresql.org for RPM systems
		"/usr/lib/postgresql*/bin",           // openSUSE
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/usr/local/pgsql/bin", // built from source
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are constants, so never ErrBadPattern
		slices.SortStableFunc(matches, func(a, b string) int { return numberIn(b) - numberIn(a) })
		dirs = append(dirs, matches...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		if dir == "" || !filepath.IsAbs(dir) || seen[dir] {
			return true
		}
		seen[dir] = true
		return false
	})
}

var digits = regexp.MustCompile(`[0-9]+`)

func numberIn(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path)) // 0 without digits: sorted last
	return n
}

var serverVersion = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)[.0-9a-z]*)`)

// inspect asks the binaries in dir for their versions.
func inspect(dir string) (Installation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Installation{}, fmt.Errorf("resolve %s: %w", dir, err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			f := fault.New(fault.NotFound, "postgres_not_found", "%s holds no %s", dir, name).Because(err).
				WithHint("TINYDEV_POSTGRES_BIN is the folder that holds postgres and initdb, such as /usr/lib/postgresql/17/bin")
			if errors.Is(err, os.ErrPermission) {
				f.Message = fmt.Sprintf("%s may not be read: %v", dir, err)
			}
			return Installation{}, f
		}
	}
	// Links in a folder of PATH lead to where pg_config and the extensions are.
	if target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(target), "initdb")); err == nil {
			dir = filepath.Dir(target)
		}
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	m := serverVersion.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		return Installation{}, fault.New(fault.Invalid, "postgres_broken", "%s/postgres --version does not work: %s", dir, strings.TrimSpace(string(out))).
			Because(err).WithHint("reinstall it, or set TINYDEV_POSTGRES_BIN to another folder")
	}
	inst := Installation{BinDir: dir, Version: m[1]}
	inst.Major, _ = strconv.Atoi(m[2]) // digits by the expression
	inst.CronVersion = cronVersion(dir, inst.Major)
	return inst, nil
}

var controlVersion = regexp.MustCompile(`(?m)^\s*default_version\s*=\s*'([0-9.]+)`)

// cronVersion reads pg_cron's control file; empty when it or the library is not there.
func cronVersion(bin string, major int) string {
	libs := []string{"../lib/postgresql", "../lib"}
	shares := []string{"../share/postgresql", "../share"}
	if bin == fmt.Sprintf("/usr/lib/postgresql/%d/bin", major) {
		shares = []string{fmt.Sprintf("/usr/share/postgresql/%d", major)}
	}
	if out, err := exec.Command(filepath.Join(bin, "pg_config"), "--pkglibdir", "--sharedir").Output(); err == nil {
		if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); len(lines) == 2 {
			libs, shares = lines[:1], lines[1:]
		}
	}
	if !slices.ContainsFunc(libs, func(lib string) bool {
		for _, suffix := range []string{".so", ".dylib"} {
			if _, err := os.Stat(filepath.Join(under(bin, lib), "pg_cron"+suffix)); err == nil {
				return true
			}
		}
		return false
	}) {
		return ""
	}
	for _, share := range shares {
		text, err := os.ReadFile(filepath.Join(under(bin, share), "extension", "pg_cron.control"))
		if err != nil {
			continue
		}
		if m := controlVersion.FindSubmatch(text); m != nil {
			return strings.Trim(string(m[1]), ".")
		}
	}
	return ""
}

func under(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// versionLess compares dotted numbers: 1.4 < 1.10.
func versionLess(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i]) // what is no number counts as 0
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x < y
		}
	}
	return false
}
