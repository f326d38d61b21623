package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// clean takes the project's variables out of the environment for a test.
func clean(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, config.Prefix+"_") {
			t.Setenv(name, value) // puts it back afterwards
			os.Unsetenv(name)
		}
	}
}

func TestDefaults(t *testing.T) {
	clean(t)
	t.Setenv("USER", "somebody") // not ours, and not to be read
	t.Setenv("LISTEN", "0.0.0.0:1")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != ".tinydev" || c.Listen != config.DefaultListen || c.User != "" || c.MaxCellBytes != 16<<20 || c.MaxSessions != 32 || c.MaxSessionsPerUser != 8 || c.LogFormat != "text" || c.IsSet("TINYDEV_LISTEN") || c.TLS() {
		t.Errorf("%+v", c)
	}
}

func TestSources(t *testing.T) {
	clean(t)
	t.Setenv("TINYDEV_LISTEN", "127.0.0.1:1000")
	t.Setenv("TINYDEV_USER", "ann")
	t.Setenv("TINYDEV_LOG_LEVEL", "") // as compose files pass what is not set
	t.Setenv("TINYDEV_HOSTS", "a.example.org,b.example.org")
	t.Setenv("TINYDEV_EVENT_RETENTION", "90d")
	t.Setenv("TINYDEV_MAX_UPLOAD_BYTES", "2GB")
	c, err := config.LoadWith(map[string]string{"TINYDEV_LISTEN": "127.0.0.1:2000", "TINYDEV_INSECURE_LISTEN": "true", "TINYDEV_MAX_SPOOL_BYTES": "1KiB"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:2000" || c.User != "ann" || c.LogLevel != "info" || len(c.Hosts) != 2 || !c.InsecureListen ||
		time.Duration(c.EventRetention) != 90*24*time.Hour || c.MaxUploadBytes != 2_000_000_000 || c.MaxSpoolBytes != 1024 {
		t.Errorf("%+v", c)
	}
	want := map[string]string{"TINYDEV_LISTEN": "127.0.0.1:2000 flag", "TINYDEV_USER": "ann environment", "TINYDEV_DATA_DIR": ".tinydev default",
		"TINYDEV_LOG_LEVEL": "info default", "TINYDEV_HOSTS": "a.example.org,b.example.org environment", "TINYDEV_EVENT_RETENTION": "90d environment"}
	for _, e := range c.Entries() {
		if w, ok := want[e.Name]; ok && w != e.Value+" "+e.Source {
			t.Errorf("%s is %s %s", e.Name, e.Value, e.Source)
		}
		if e.Help == "" {
			t.Errorf("%s has no help", e.Name)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, value, code, says string }{
		{"TINYDEV_LISTN", "x", "config_unknown", "TINYDEV_LISTEN"},
		{"TINYDEV_COLOUR_OF_PAGE", "x", "config_unknown", "tinydev config"},
		{"TINYDEV_LISTEN", "8484", "config_invalid", "host:port"},
		{"TINYDEV_LISTEN", "127.0.0.1:99999", "config_invalid", "host:port"},
		{"TINYDEV_LISTEN", "0.0.0.0:8484", "listen_insecure", "TINYDEV_TLS_CERT"},
		{"TINYDEV_LISTEN", ":8484", "listen_insecure", "TINYDEV_INSECURE_LISTEN"},
		{"TINYDEV_USER", "Ann Smith", "config_invalid", "a-z"},
		{"TINYDEV_LOG_LEVEL", "loud", "config_invalid", "debug, info"},
		{"TINYDEV_LOG_FORMAT", "xml", "config_invalid", "text, json"},
		{"TINYDEV_MAX_UPLOAD_BYTES", "much", "config_invalid", "16MiB"},
		{"TINYDEV_MAX_UPLOAD_BYTES", "-1", "config_invalid", "16MiB"},
		{"TINYDEV_MAX_CELL_BYTES", "1GiB", "config_invalid", "256MiB"},
		{"TINYDEV_MAX_SESSIONS", "0", "config_invalid", "from 1"},
		{"TINYDEV_MAX_SESSIONS_PER_USER", "many", "config_invalid", "from 1"},
		{"TINYDEV_EVENT_RETENTION", "soon", "config_invalid", "90d"},
		{"TINYDEV_EVENT_RETENTION", "5m", "config_invalid", "1h"},
		{"TINYDEV_INSECURE_LISTEN", "perhaps", "config_invalid", "true or false"},
		{"TINYDEV_TLS_CERT", "cert.pem", "config_invalid", "both"},
		{"TINYDEV_HOSTS", "https://crm.example.org", "config_invalid", "without a scheme"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			clean(t)
			t.Setenv(c.name, c.value)
			_, err := config.Load()
			f := fault.As(err)
			if f == nil || f.Code != c.code || f.Kind != fault.Invalid || !strings.Contains(f.Hint, c.says) || !strings.Contains(f.Error(), strings.TrimSuffix(c.name, "_CERT")) && c.code != "listen_insecure" {
				t.Errorf("%v", err)
			}
			if c.code == "config_unknown" {
				return
			}
			os.Unsetenv(c.name)
			if _, err := config.LoadWith(map[string]string{c.name: c.value}); fault.CodeOf(err) != c.code {
				t.Errorf("as a flag: %v", err)
			}
		})
	}
}

func TestSecretsNeverShow(t *testing.T) {
	clean(t)
	const password = "hunter2"
	for _, value := range []string{"postgres://u:" + password + "@h/db", "postgres:///db?user=u&password=" + password, "host=h password=" + password + " dbname=d",
		"host=h password='" + password + " x' dbname=d", "postgres://u:" + password + "@[broken", password,
		"smtp://u:" + password + "@h:587", "smtps://" + password + ":x@h", "smtp://u:" + password + "@[broken", "smtp://u:" + password + "/@h"} {
		t.Setenv("TINYDEV_DATABASE_URL", value)
		t.Setenv("TINYDEV_TOKEN", "td_"+password)
		c, err := config.Load()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n"+verb+"\n", c, c.Token)
			fmt.Fprintf(&out, verb+"\n", &c.DatabaseURL)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "token", c.Token)
		if err := json.NewEncoder(&out).Encode(c); err != nil {
			t.Fatal(err)
		}
		text, err := c.Token.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		if strings.Contains(out.String(), password) || strings.Contains(out.String(), fmt.Sprintf("%x", password)) {
			t.Errorf("%q shows in:\n%s", value, out.String())
		}
		if c.DatabaseURL.Reveal() != value {
			t.Error("Reveal does not")
		}
	}
	if s := config.Secret("postgres://u:p@h:5432/db?sslmode=require").String(); s != "postgres://u:xxxxx@h:5432/db?sslmode=require" {
		t.Errorf("nothing is left to see: %s", s)
	}
}

// Every variable that the project speaks of has to be in the struct, since one that is not is refused.
func TestAllVariablesAreKnown(t *testing.T) {
	name := regexp.MustCompile(`\bTINYDEV_[A-Z]+(_[A-Z]+)*\b`)
	known := config.Names()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && path != "../.." && (strings.HasPrefix(base, ".") && base != ".ci" || base == "bin" || base == "source" || base == "cache" || base == "testdata") {
			return fs.SkipDir
		}
		if entry.IsDir() || !entry.Type().IsRegular() || strings.HasSuffix(path, "config_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, word := range name.FindAllString(string(text), -1) {
			if !slices.Contains(known, word) {
				t.Errorf("%s speaks of %s, which pkg/config does not know", path, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
