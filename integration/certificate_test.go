package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// TestPrepareDatabase runs deploy/prepare-database on a PostgreSQL of somebody else's, as its text tells, and the server after it.
func TestPrepareDatabase(t *testing.T) {
	localOnly(t)
	ctx := context.Background()
	dir := tempDir(t)
	pg, err := cluster.Open(ctx, cluster.Config{DataDir: filepath.Join(dir, "pg"), Settings: map[string]string{"fsync": "off",
		// As in a PostgreSQL that nobody has prepared.
		"shared_preload_libraries": "", "cron.use_background_workers": "off", "cron.enable_superuser_jobs": "on", "max_worker_processes": "8"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../deploy/prepare-database")
	if err != nil {
		t.Fatal(err)
	}
	prepare := func(args ...string) result {
		t.Helper()
		cmd := exec.Command(script, append([]string{"--database", cluster.Database, "--user", user, "--host", "localhost"}, args...)...)
		cmd.Dir = dir
		cmd.Env = environment("PGHOST="+pg.SocketDir(), fmt.Sprintf("PGPORT=%d", pg.Port()), "PGUSER="+cluster.Superuser,
			"PATH="+filepath.Dir(binary)+":"+pg.Installation().BinDir+":"+os.Getenv("PATH"))
		return run(t, cmd, "")
	}
	conf, hba := filepath.Join(pg.PGData(), "postgresql.conf"), filepath.Join(pg.PGData(), "pg_hba.conf")
	before := read(t, conf) + read(t, hba)

	if r := prepare("--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "ca init") || !strings.Contains(r.stdout, "migrate --user ann") {
		t.Fatalf("dry run: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if read(t, conf)+read(t, hba) != before {
		t.Error("the dry run changed something")
	}
	if _, err := os.Stat(filepath.Join(dir, "tinydev-ca")); err == nil {
		t.Error("the dry run made certificates")
	}
	if r := prepare("--server-address", "10.0.0.5/8", "--dry-run"); r.code == 0 || !strings.Contains(r.stderr, "10.0.0.0/8") {
		t.Errorf("a wrong address: %d %s", r.code, r.stderr)
	}

	if r := prepare(); r.code != 3 || !strings.Contains(r.stdout, "Restart PostgreSQL") {
		t.Fatalf("before the restart: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	done := prepare()
	if done.code != 0 {
		t.Fatalf("after the restart: %d\n%s%s", done.code, done.stdout, done.stderr)
	}
	after := read(t, conf) + read(t, hba)
	if r := prepare(); r.code != 0 || read(t, conf)+read(t, hba) != after {
		t.Errorf("again: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !strings.HasSuffix(after, strings.TrimSpace(read(t, hba+".before-tinydev"))+"\n") {
		t.Errorf("the lines of others are not as they were:\n%s", after)
	}

	// The server as the last words say, with the authority where they say that it belongs.
	s := newServer(t, false)
	ca := filepath.Join(dir, "tinydev-ca")
	s.process = s.prepare("serve", "--listen", "127.0.0.1:0")
	_, last, _ := strings.Cut(done.stdout, "# Done.")
	for _, m := range regexp.MustCompile(`(TINYDEV_[A-Z_]+)=(\S+)`).FindAllStringSubmatch(strings.ReplaceAll(last, "/path/to", ca), -1) {
		s.process.Env = append(s.process.Env, m[1]+"="+strings.Trim(m[2], "'"))
	}
	s.launch()
	s.must("load", s.write("friends.csv", "name\nbob\n"))
	if who := s.sql("select session_user || ' ' || (select client_dn from pg_stat_ssl where pid = pg_backend_pid())"); who != user+" /CN="+user {
		t.Errorf("psql is %s", who)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestClientsByCertificate: psql, env and certificates of people on a PostgreSQL that takes nothing else.
func TestClientsByCertificate(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			remote := pgtest.NewRemote(t, kind, postgres.Access{ServerAddress: "all", People: "cert"})
			s := newServer(t, false)
			database := remote.URL(postgres.ServerRole)
			install := s.prepare("migrate", "--user", user)
			install.Env = append(install.Env, "TINYDEV_ADMIN_DATABASE_URL="+remote.SuperuserURL)
			if r := run(t, install, ""); r.code != 0 {
				t.Fatalf("migrate: %s", r.stderr)
			}
			s.process = s.prepare("serve", "--listen", "127.0.0.1:0")
			s.process.Env = append(s.process.Env, "TINYDEV_DATABASE_URL="+database, "TINYDEV_CA_CERT="+remote.CA("ca.crt"), "TINYDEV_CA_KEY="+remote.CA("ca.key"))
			s.launch()
			s.must("user", "create", "bob")

			temp := tempDir(t)
			psql := func(args ...string) result {
				t.Helper()
				cmd := s.prepare(append([]string{"psql"}, args...)...)
				cmd.Env = append(cmd.Env, "TMPDIR="+temp)
				r := run(t, cmd, "")
				if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
					t.Errorf("psql %v leaves %v, %v", args, left, err)
				}
				return r
			}
			const who = "select session_user || client_dn from pg_stat_ssl where pid = pg_backend_pid()"
			for name, args := range map[string][]string{user: {"--", "-XAtc", who}, "bob": {"--user", "bob", "--", "-XAtc", who}} {
				if r := psql(args...); r.code != 0 || strings.TrimSpace(r.stdout) != name+"/CN="+name {
					t.Errorf("psql of %s: %d %s%s", name, r.code, r.stdout, r.stderr)
				}
			}
			if r := psql("--", "-Xc", "select 1/0"); r.code != 1 || !strings.Contains(r.stderr, "division by zero") || strings.Contains(r.stderr, "exit code") {
				t.Errorf("a failing psql: %d %s", r.code, r.stderr)
			}
			for name, word := range map[string]string{"postgres": "there are no certificates", "tinydev_superuser": "there are no certificates", "nobody": "pg_hba.conf"} {
				if r := psql("--user", name, "--", "-Xc", "select 1"); r.code != 2 || !strings.Contains(r.stderr, word) {
					t.Errorf("psql of %s: %d %s", name, r.code, r.stderr)
				}
			}
			interrupted(t, s, temp)

			url := regexp.MustCompile(`DATABASE_URL='([^']*)'`)
			env := func() string { return url.FindStringSubmatch(s.must("env"))[1] }
			first := env()
			direct := exec.Command("psql", first, "-XAtc", who)
			if r := run(t, direct, ""); strings.TrimSpace(r.stdout) != user+"/CN="+user {
				t.Errorf("psql on DATABASE_URL: %s%s", r.stdout, r.stderr)
			}
			if env() != first {
				t.Error("env gives another address each time")
			}
			key := filepath.Join(s.dataDir, "client", user+".key")
			if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", key, err)
			}

			// A person gets a certificate by hand; the one who hands it out has the address.
			ca := s.prepare("ca", "user", "bob", "--days", "1", "--out", temp)
			ca.Env = append(ca.Env, "TINYDEV_DATABASE_URL="+database, "TINYDEV_CA_CERT="+remote.CA("ca.crt"), "TINYDEV_CA_KEY="+remote.CA("ca.key"))
			made := run(t, ca, "")
			address := regexp.MustCompile(`psql '([^']*)'`).FindStringSubmatch(made.stdout)
			if made.code != 0 || address == nil {
				t.Fatalf("ca user: %d %s%s", made.code, made.stdout, made.stderr)
			}
			if r := run(t, exec.Command("psql", address[1], "-XAtc", who), ""); strings.TrimSpace(r.stdout) != "bob/CN=bob" {
				t.Errorf("psql by bob's certificate: %s%s", r.stdout, r.stderr)
			}
		})
	}
}

// interrupted ends a psql that waits, by what ends the program: nothing of it stays.
func interrupted(t *testing.T, s *server, temp string) {
	t.Helper()
	cmd := s.prepare("psql", "--", "-Xc", `\echo waiting`, "-c", "select pg_sleep(600)")
	cmd.Env = append(cmd.Env, "TMPDIR="+temp)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "psql is in", func() bool { return strings.Contains(out.String(), "waiting") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a psql that was ended succeeded")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("a psql that was ended leaves %v, %v: %s", left, err, out)
	}
}

// TestAuthorityCommands: what the commands print fits what they make.
func TestAuthorityCommands(t *testing.T) {
	t.Parallel()
	s := &server{t: t, dataDir: filepath.Join(tempDir(t), "data")}
	first := s.must("ca", "init")
	if !strings.Contains(first, "Made a certificate authority") || strings.Contains(first, "ssl_cert_file") {
		t.Errorf("init: %s", first)
	}
	key := read(t, filepath.Join(s.dataDir, "ca", "ca.key"))
	second := s.must("ca", "init", "--host", "db.example.org", "--out", filepath.Join(s.dataDir, "tls"))
	for _, word := range []string{"There is a certificate authority already", "ssl_ca_file = 'ca.crt'", "tinydev_server@db.example.org/", "sslmode=verify-full"} {
		if !strings.Contains(second, word) {
			t.Errorf("init does not say %s: %s", word, second)
		}
	}
	if read(t, filepath.Join(s.dataDir, "ca", "ca.key")) != key {
		t.Error("the authority was overwritten")
	}
	if hba := s.must("ca", "hba", "--database", "crm", "--server-address", "10.0.0.5/32"); !slices.Contains(strings.Split(strings.Join(strings.Fields(hba), " "), " "), "scram-sha-256") {
		t.Errorf("hba: %s", hba)
	}
	composeFile(t)
	for _, args := range [][]string{{"init", "--out", "x"}, {"init", "--host", "a b"}, {"hba", "--people", "trust"}, {"user"}, {"user", "bob", "--days", "0"}, {"user", "tinydev_server"}, {"user", "a/b"},
		{"user", "bob", "--dir", "nowhere"}} {
		if r := s.command(append([]string{"ca"}, args...)...); r.code != 2 || !strings.Contains(r.stderr, "error: ") {
			t.Errorf("ca %v: %d %s", args, r.code, r.stderr)
		}
	}
}

// composeFile runs the commands of the compose file that make certificates, twice, as at each start.
func composeFile(t *testing.T) {
	t.Helper()
	dir := tempDir(t)
	_, commands, found := strings.Cut(read(t, "../deploy/compose.yaml"), "command:\n      - |\n")
	commands, _, ended := strings.Cut(commands, "    volumes:")
	if !found || !ended || strings.Count(commands, "tinydev ca ") != 2 {
		t.Fatalf("the compose file makes no certificates: %s", commands)
	}
	for range 2 {
		cmd := exec.Command("bash", "-euc", strings.ReplaceAll(commands, "/etc/tinydev", dir))
		cmd.Env = environment("PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"))
		if r := run(t, cmd, ""); r.code != 0 {
			t.Fatalf("%d %s", r.code, r.stderr)
		}
	}
	for _, name := range []string{"ca/ca.key", "postgres/ca.crt", "postgres/server.key", "postgres/pg_ident.conf"} {
		if len(read(t, filepath.Join(dir, name))) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if hba := read(t, filepath.Join(dir, "postgres/pg_hba.conf")); strings.Contains(hba, "trust") || strings.Contains(hba, "scram") || !strings.Contains(hba, "peer map=tinydev") {
		t.Errorf("it lets in others: %s", hba)
	}
}
