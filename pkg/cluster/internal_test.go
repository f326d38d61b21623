package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestRotateLog(t *testing.T) {
	t.Parallel()
	l := layout{logFile: filepath.Join(t.TempDir(), "postgres.log")}
	if err := l.rotateLog(10); err != nil {
		t.Errorf("without a log: %v", err)
	}
	log, err := os.OpenFile(l.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, text := range []string{"0123456789", "and more", "after"} {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := l.rotateLog(10); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{l.logFile: "after", l.logFile + ".1": "0123456789and more"} {
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
		}
	}
}

func TestLogSince(t *testing.T) {
	t.Parallel()
	l := layout{logFile: filepath.Join(t.TempDir(), "postgres.log")}
	old := strings.Repeat("old\n", 5000)
	if err := os.WriteFile(l.logFile, []byte(old+strings.Repeat("new\n", 5000)+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := l.logSince(int64(len(old))), strings.Repeat("new\n", 11)+"last"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestSettingsText(t *testing.T) {
	t.Parallel()
	got := string(settingsText(map[string]string{"b": `it's a \ path`, "a": quoteListItem(`/x "y",z`), "c": "two\nlines"}))
	want := `a = '"/x ""y"",z"'` + "\n" + `b = 'it''s a \\ path'` + "\n" + `c = 'two\nlines'` + "\n"
	if _, lines, _ := strings.Cut(got, "ALTER SYSTEM.\n"); lines != want {
		t.Errorf("got\n%s\nwant\n%s", lines, want)
	}
}

func TestVersionLess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		less bool
	}{{"1.3", "1.4", true}, {"1.4", "1.4", false}, {"1.10", "1.4", false}, {"1.4", "1.4.1", true}, {"", "1.4", true}, {"2", "1.4", false}} {
		if got := versionLess(c.a, c.b); got != c.less {
			t.Errorf("%q before %q: %v", c.a, c.b, got)
		}
	}
}

// fakeServer makes a folder with programs that answer as PostgreSQL's do; what does not run is asked for its version only.
func fakeServer(t *testing.T, version, control string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"bin/postgres":                    "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n",
		"bin/initdb":                      "#!/bin/sh\nexit 1\n",
		"lib/pg_cron.so":                  "",
		"share/extension/pg_cron.control": control,
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "bin")
}

func TestFind(t *testing.T) {
	t.Parallel()
	const cron = "default_version = '1.6'\n"
	for _, c := range []struct{ version, control, code, found string }{
		{"15.20 (Debian 15.20-0+deb12u1)", cron, "", "PostgreSQL 15.20, pg_cron 1.6"},
		{"18beta1", cron, "", "PostgreSQL 18beta1, pg_cron 1.6"},
		{"12.22", "comment = 'x'\n  default_version = '1.4-1'", "", "PostgreSQL 12.22, pg_cron 1.4"},
		{"11.22", cron, "postgres_version", ""},
		{"19.1", cron, "postgres_version", ""},
		{"15.1", "", "pg_cron_not_found", ""},
		{"15.1", "default_version = '1.3'", "pg_cron_too_old", ""},
		{"", cron, "postgres_broken", ""},
	} {
		inst, err := Find(fakeServer(t, c.version, c.control))
		if err == nil && c.code == "" {
			if !strings.HasPrefix(inst.String(), c.found) {
				t.Errorf("%s: found %s", c.version, inst)
			}
			continue
		}
		if err == nil || fault.CodeOf(err) != c.code {
			t.Errorf("version %q, control %q: %v", c.version, c.control, err)
		}
	}
	if _, err := Find(t.TempDir()); fault.CodeOf(err) != "postgres_not_found" {
		t.Errorf("an empty folder: %v", err)
	}
}

// A link in a folder of PostgreSQL's user must not lead root's hand.
func TestWriteFileFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	for _, link := range []string{conf, conf + ".new"} {
		if err := os.Symlink(precious, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := (account{}).writeFile(conf, []byte("y")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(precious); string(got) != "x" {
		t.Errorf("the link was followed")
	}
}

func TestMakeDirTakesNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := (account{uid: os.Geteuid(), gid: os.Getegid()}).makeDir(link); fault.CodeOf(err) != "folder_not_ours" {
		t.Errorf("got %v", err)
	}
}
