package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

func notify(stop chan os.Signal) { signal.Notify(stop, syscall.SIGTERM) }

func TestAdoptsAfterTheServerWasKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	s := serve(t, dir, nil)
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait() // killed, as wanted
	c := openIn(t, dir)
	start(t, c)
	if got := fmt.Sprintf("pid %d %s\n", c.PID(), c.Account()); got != s.first {
		t.Errorf("after the kill %q runs, before it %q", got, s.first)
	}
	before := c.PID()
	c.Kill()
	eventually(t, "an adopted PostgreSQL is restarted too", func() bool {
		_, err := tryAsk[int](t.Context(), c, `select 1`)
		return err == nil && c.PID() != before
	})
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := state(t, c); got != "shut down" {
		t.Errorf("after Stop the cluster is %q", got)
	}
}

func TestAdoptedWithOtherSettingsIsRestarted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	c := openIn(t, dir)
	start(t, c)
	before := c.PID()
	c.Abandon()
	c2, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir, Settings: map[string]string{"fsync": "off", "work_mem": "5MB"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Stop(t.Context())
	start(t, c2)
	if got := ask[string](t, c2, `show work_mem`); got != "5MB" || c2.PID() == before {
		t.Errorf("work_mem is %s in process %d (before: %d)", got, c2.PID(), before)
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	if _, err := cluster.Down(t.Context(), dir); err == nil {
		t.Error("Down of nothing gives no error")
	}
	s := serve(t, dir, nil)
	exited := make(chan error, 1)
	go func() { exited <- s.Wait() }()
	if stopped, err := cluster.Down(t.Context(), dir); !stopped || err != nil {
		t.Errorf("Down of a server: %v %v", stopped, err)
	}
	if err := <-exited; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if stopped, err := cluster.Down(t.Context(), dir); stopped || err != nil {
		t.Errorf("the second Down: %v %v", stopped, err)
	}

	c := openIn(t, dir)
	start(t, c)
	c.Abandon()
	if stopped, err := cluster.Down(t.Context(), dir); !stopped || err != nil {
		t.Errorf("Down of a PostgreSQL left behind: %v %v", stopped, err)
	}
	if got := state(t, c); got != "shut down" {
		t.Errorf("after Down the cluster is %q", got)
	}
}

// As root, PostgreSQL runs as another user; that way and the plain one are both tried.
func TestRootAndUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: all other tests of this package show the way of a user, and the way of root is not shown")
		return
	}
	t.Run("as root", func(t *testing.T) {
		t.Parallel()
		c := open(t, "data")
		start(t, c)
		if c.Account() == "root" {
			t.Error("PostgreSQL runs as root")
		}
	})
	t.Run("as a user", func(t *testing.T) {
		t.Parallel()
		dir, credential, name := userDir(t)
		s := serve(t, filepath.Join(dir, "data"), credential)
		if !strings.HasPrefix(s.first, "pid ") || !strings.HasSuffix(s.first, " "+name+"\n") {
			t.Fatalf("the server of user %s says %q", name, s.first)
		}
		if _, err := cluster.Down(t.Context(), filepath.Join(dir, "data")); err != nil {
			t.Error(err)
		}
	})
	t.Run("in a closed folder", func(t *testing.T) {
		t.Parallel()
		closed := tempDir(t)
		if err := os.Chmod(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		c := openIn(t, filepath.Join(closed, "data"))
		start(t, c)
		if !strings.HasPrefix(c.PGData(), "/var/lib/tinydev/") {
			t.Errorf("PGDATA is %s", c.PGData())
		}
		if link, err := os.Readlink(filepath.Join(closed, "data", "postgres")); link != c.PGData() {
			t.Errorf("the link leads to %s (%v)", link, err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		start(t, c)
	})
}

func TestDataOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: no data of another user can be made")
		return
	}
	dir, credential, _ := userDir(t)
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "postgres"), 0o755); err != nil { // root's
		t.Fatal(err)
	}
	s := serve(t, data, credential)
	if !strings.HasPrefix(s.first, "data_dir_owner") {
		t.Errorf("the server says %q", s.first)
	}
}

// userDir makes a folder of user postgres, who exists wherever PostgreSQL's packages are installed.
func userDir(t *testing.T) (string, *syscall.Credential, string) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	dir := tempDir(t)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	// The test binary lies in a closed folder.
	open, err := exec.Command("cp", os.Args[0], filepath.Join(dir, "server")).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v", open, err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, u.Username
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0711"); err != nil {
		t.Logf("no small disk can be made (%v): a full one is not shown", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	_, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: filepath.Join(dir, "data"), Settings: fast})
	wantCode(t, err, "disk_full")
}

func TestFolderOfOthersIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Open(t.Context(), cluster.Config{BinDir: binDir, DataDir: dir})
	wantCode(t, err, "data_dir_invalid")
	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d things lie there now (%v)", len(entries), err)
	}
}
