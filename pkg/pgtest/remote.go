package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Remote is a PostgreSQL with pg_cron live as on another machine: the way in is TCP, TLS and certificates, by the pg_hba.conf of
// "tinydev ca hba". Its database is empty, and only the superuser comes by the socket.
type Remote struct {
	Dir          string // holds ca.crt and ca.key
	Port         int
	SuperuserURL string // by the socket
	reload       func(files map[string][]byte) error
}

// Ways gives the kinds of server that TINYDEV_TEST_SERVER asks for: local, container, or both.
func Ways() []string {
	switch way := os.Getenv("TINYDEV_TEST_SERVER"); way {
	case "all":
		return []string{"local", "container"}
	case "container":
		return []string{way}
	default:
		return []string{"local"}
	}
}

// NewRemote gives one of a kind, stopped after the test. access says who may log in; database and superuser are set here.
func NewRemote(t testing.TB, way string, access postgres.Access) *Remote {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r := &Remote{Dir: t.TempDir()}
	files, err := r.files(access, way)
	if err != nil {
		t.Fatal(err)
	}
	start := r.local
	if way == "container" {
		start = r.container
	}
	stop, err := start(ctx, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r
}

// files makes an authority and gives what PostgreSQL needs of it.
func (r *Remote) files(access postgres.Access, way string) (map[string][]byte, error) {
	authority, _, err := postgres.MakeAuthority(r.Dir)
	if err != nil {
		return nil, err
	}
	tls := filepath.Join(r.Dir, "postgres")
	if _, err := authority.MakeServer(tls, []string{"localhost", "127.0.0.1"}); err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	access.Database, access.Superuser, access.Map = cluster.Database, cluster.Superuser, "tinydev"
	hba, err := access.HBA()
	if err != nil {
		return nil, err
	}
	if way == "container" { // which does not know who runs the tests
		hba = "local all " + cluster.Superuser + " trust\n" + hba
	}
	files := map[string][]byte{"pg_hba.conf": []byte(hba), "pg_ident.conf": []byte("tinydev " + me.Username + " " + cluster.Superuser + "\n")}
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		if files[name], err = os.ReadFile(filepath.Join(tls, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// remoteSettings are those of a PostgreSQL that takes certificates, with its files in a folder.
func remoteSettings(dir string) map[string]string {
	return map[string]string{
		"fsync": "off", "ssl": "on", "ssl_ca_file": dir + "/ca.crt", "ssl_cert_file": dir + "/server.crt", "ssl_key_file": dir + "/server.key",
		"hba_file": dir + "/pg_hba.conf", "ident_file": dir + "/pg_ident.conf",
		// Otherwise pg_cron below 1.5 logs in as users by the socket, which nobody may here.
		"cron.use_background_workers": "on",
	}
}

func (r *Remote) local(ctx context.Context, files map[string][]byte) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "tinydev-test-")
	if err != nil {
		return nil, err
	}
	access := filepath.Join(dir, "access")
	c, err := cluster.Open(ctx, cluster.Config{DataDir: filepath.Join(dir, "data"), Settings: remoteSettings(access),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN")})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() {
		c.Destroy(context.Background())
		os.RemoveAll(dir)
	}
	info, err := os.Stat(c.PGData())
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		r.reload = func(files map[string][]byte) error { return put(access, files, int(owner.Uid), int(owner.Gid)) }
		err = r.reload(files)
	}
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		stop()
		return nil, err
	}
	r.Port, r.SuperuserURL = c.Port(), c.URL(cluster.Superuser, cluster.Database)
	return stop, nil
}

func (r *Remote) container(ctx context.Context, files map[string][]byte) (stop func(), err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.Port = free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return nil, err
	}
	c, err := StartContainer(ctx, ContainerOptions{Port: r.Port, Settings: remoteSettings(containerVolume + "/access"), Prepare: func(volume string, uid, gid int) error {
		r.reload = func(files map[string][]byte) error { return put(filepath.Join(volume, "access"), files, uid, gid) }
		return r.reload(files)
	}})
	if err != nil {
		return nil, err
	}
	r.SuperuserURL = c.SuperuserDSN()
	return func() { c.Close() }, nil
}

// put writes files for the user who runs PostgreSQL.
func put(dir string, files map[string][]byte, uid, gid int) error {
	errs := []error{os.MkdirAll(dir, 0o700), os.Chown(dir, uid, gid)}
	for name, text := range files {
		path := filepath.Join(dir, name)
		errs = append(errs, os.WriteFile(path, text, 0o600), os.Chown(path, uid, gid))
	}
	return errors.Join(errs...)
}

// URL gives the database's URL as a role, without what the role logs in with. The client checks PostgreSQL.
func (r *Remote) URL(role string) string {
	q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {r.CA("ca.crt")}}
	return fmt.Sprintf("postgres://%s@%s/%s?%s", url.PathEscape(role), net.JoinHostPort("localhost", strconv.Itoa(r.Port)), cluster.Database, q.Encode())
}

// CA gives the path of a file of the authority.
func (r *Remote) CA(name string) string { return filepath.Join(r.Dir, name) }

// Trust has PostgreSQL trust the authorities in a text of PEM, and those only, for logins from now on.
func (r *Remote) Trust(t testing.TB, authorities []byte) {
	t.Helper()
	if err := r.reload(map[string][]byte{"ca.crt": authorities}); err != nil {
		t.Fatal(err)
	}
	if !Value[bool](t, connect(t, r.SuperuserURL), "select pg_reload_conf()") {
		t.Fatal("PostgreSQL was not told")
	}
}
