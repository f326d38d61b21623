package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// account is the user of the operating system that PostgreSQL runs as.
type account struct {
	name     string
	uid, gid int
	switched bool // not the user that we run as
}

// chooseAccount picks who runs PostgreSQL: ourselves, or when we are root, wanted, the owner of the
// data that is there already, `postgres`, or who called sudo.
func chooseAccount(wanted, pgdata string) (account, error) {
	owner := ownerOf(pgdata)
	if os.Geteuid() != 0 {
		self := account{name: strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}
		if u, err := user.LookupId(self.name); err == nil {
			self.name = u.Username
		}
		if owner >= 0 && owner != self.uid {
			return account{}, fault.New(fault.Forbidden, "data_dir_owner", "%s belongs to the user %s, and PostgreSQL must run as the owner of its files", pgdata, nameOf(owner)).
				WithHint("run as that user or as root, or choose another --data-dir")
		}
		return self, nil
	}
	if owner > 0 && wanted == "" {
		if u, err := user.LookupId(strconv.Itoa(owner)); err == nil {
			return accountOf(u)
		}
		info, err := os.Stat(pgdata)
		if err != nil {
			return account{}, fmt.Errorf("look at %s: %w", pgdata, err)
		}
		return account{name: strconv.Itoa(owner), uid: owner, gid: int(info.Sys().(*syscall.Stat_t).Gid), switched: true}, nil
	}
	names := []string{"postgres", "_postgres", os.Getenv("SUDO_USER")}
	if wanted != "" {
		names = []string{wanted}
	}
	for _, name := range names {
		if u, err := user.Lookup(name); name != "" && err == nil && u.Uid != "0" {
			return accountOf(u)
		}
	}
	return account{}, fault.New(fault.Invalid, "no_unprivileged_user", "PostgreSQL does not run as root, and this system has no user %q to run it as", names[0]).
		WithHint("add one (`useradd --system %s`), or run as another user than root", names[0])
}

func accountOf(u *user.User) (account, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return account{}, fmt.Errorf("read the ids of user %s: %w", u.Username, err)
	}
	return account{name: u.Username, uid: uid, gid: gid, switched: uid != os.Geteuid()}, nil
}

// ownerOf gives the uid that owns path, or -1 when it is not there.
func ownerOf(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func nameOf(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// attributes starts a process as the account, in a process group of its own: Ctrl-C in the terminal
// must reach us and not PostgreSQL, which we stop in order.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{uint32(a.gid)}}
	}
	return attr
}

// command prepares a program of PostgreSQL: run as the account, in a plain locale, with none of the
// PG* variables that would redirect it.
func (a account) command(ctx context.Context, locale, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = a.attributes()
	cmd.Dir = "/"
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "TINYDEV_") || name == "LANG" || name == "LANGUAGE" {
			continue
		}
		cmd.Env = append(cmd.Env, entry)
	}
	cmd.Env = append(cmd.Env, "LC_ALL="+locale)
	return cmd
}

// canEnter tells whether the account may pass through every folder down to dir.
// It tries, because modes do not tell about access lists and mounts.
func (a account) canEnter(ctx context.Context, dir string) bool {
	if !a.switched {
		return true
	}
	return a.command(ctx, "C", "/bin/sh", "-c", `cd -- "$1"`, "sh", dir).Run() == nil
}

// makeDir makes dir (0700, owned by the account), or checks that it is one: no link, nobody else's,
// closed to all others.
func (a account) makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if !info.IsDir() || owner != a.uid && owner != os.Geteuid() {
		return fault.New(fault.Forbidden, "folder_not_ours", "%s is not a folder of user %s (owner %s, %s)", dir, a.name, nameOf(owner), info.Mode()).
			WithHint("look at who made it, and remove it")
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close %s to others: %w", dir, err)
		}
	}
	if owner != a.uid {
		if err := os.Lchown(dir, a.uid, a.gid); err != nil {
			return fmt.Errorf("give %s to user %s: %w", dir, a.name, err)
		}
	}
	return nil
}

// follow gives the target of path when it is a symbolic link, else path.
func follow(path string) string {
	target, err := os.Readlink(path)
	if err != nil {
		return path
	}
	return under(filepath.Dir(path), target)
}
