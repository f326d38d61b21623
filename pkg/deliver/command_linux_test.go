package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// commands makes the kind with one command, "run", which is a script of the shell's. What is tested starts no shell by itself.
func commands(t *testing.T, script string, args ...string) *deliver.Commands {
	t.Helper()
	return programs(t, config.Commands{"run": {Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}})
}

func programs(t *testing.T, c config.Commands) *deliver.Commands {
	t.Helper()
	k, err := deliver.NewCommands(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ofJSON(text string) []deliver.Event {
	return []deliver.Event{{Position: 42, Type: "view.refreshed", Subject: "ann.friends", Attempt: 3, JSON: []byte(text)}}
}

// within ends an attempt after a while.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// gone waits until a process has ended. One that nobody has waited for yet has ended too.
func gone(t *testing.T, pid string) {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("%q is no process", pid)
	}
	eventually(t, "process "+pid+" is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return true
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// What an event holds is data to the program, and nothing to anybody else.
func TestCommandReadsTheEvent(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	payload := "{\"data\":\"$(touch " + mark + ") `touch " + mark + "` ; touch " + mark + " & \\u0000 \\\" ' && || > " + mark + "\"}"
	e := ofJSON(payload)
	e[0].Subject = "ann.$(touch " + mark + ")"
	s := subscription("run")
	s.Name = "`touch " + mark + "`"
	o := commands(t, `cat`, "$(touch "+mark+")").Send(t.Context(), s, e)
	if want := (deliver.Outcome{State: deliver.Delivered, Response: payload + "\n"}); o != want {
		t.Errorf("%+v", o)
	}
	if _, err := os.Stat(mark); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something ran: %v", err)
	}

	// An event larger than a pipe, read by nobody, in part, and all.
	large := ofJSON(`"` + strings.Repeat("x", 3<<20) + `"`)
	for script, says := range map[string]string{"exit 0": "", "head -c 5": `"xxxx`, "wc -c": strconv.Itoa(3<<20+3) + "\n"} {
		if o := commands(t, script).Send(t.Context(), subscription("run"), large); o.State != deliver.Delivered || o.Response != says {
			t.Errorf("%s: %+v", script, o)
		}
	}
}

// A program gets nothing of the server's: no variables, no open files, no folder.
func TestCommandHasACleanEnvironment(t *testing.T) {
	t.Parallel()
	o := programs(t, config.Commands{"env": {Argv: []string{"/usr/bin/env"}}}).Send(t.Context(), subscription("env"), ofJSON("{}"))
	got := strings.Split(strings.TrimSpace(o.Response), "\n")
	want := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TINYDEV_EVENT_ID=42", "TINYDEV_EVENT_TYPE=tinydev.view.refreshed", "TINYDEV_EVENT_SUBJECT=ann.friends",
		"TINYDEV_ATTEMPT=3", "TINYDEV_SUBSCRIPTION=ann.hook"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	// What the server itself was started with, as systemd passes sockets, has no flag that closes it.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	if _, err := unix.FcntlInt(read.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", read.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	o = commands(t, `pwd; for f in /proc/$$/fd/*; do readlink "$f"; done; true`).Send(t.Context(), subscription("run"), ofJSON("{}"))
	lines := strings.Split(o.Response, "\n")
	if o.State != deliver.Delivered || lines[0] != "/" || len(lines) != 5 || strings.Contains(o.Response, pipe) || strings.Contains(o.Response, "socket:") {
		t.Errorf("%+v", o)
	}
}

func TestCommandOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		want   deliver.Outcome
	}{
		{"echo out; echo err >&2; echo out again", deliver.Outcome{State: deliver.Delivered, Response: "out\nerr\nout again\n"}},
		{"echo sorry >&2; exit 3", deliver.Outcome{State: deliver.Failed, StatusCode: 3, Error: "exit status 3", Response: "sorry\n"}},
		{"kill -9 $$", deliver.Outcome{State: deliver.Failed, Error: "signal: killed"}},
		{"yes | head -c 30000000; exit 4", deliver.Outcome{State: deliver.Failed, StatusCode: 4, Error: "exit status 4", Response: strings.Repeat("y\n", deliver.ResponseBytes/2)}},
		{`printf '\377a\000b'`, deliver.Outcome{State: deliver.Delivered, Response: "�ab"}},
	} {
		if o := commands(t, c.script).Send(t.Context(), subscription("run"), ofJSON("{}")); o != c.want {
			t.Errorf("%s: %+v", c.script, o)
		}
	}
	k := commands(t, "true")
	if o := k.Send(t.Context(), subscription("other"), ofJSON("{}")); o.State != deliver.Failed || !strings.Contains(o.Error, `no command "other"`) {
		t.Errorf("%+v", o)
	}
	if o := k.Send(t.Context(), subscription("run"), append(ofJSON("{}"), ofJSON("{}")...)); o.State != deliver.Failed {
		t.Errorf("two events: %+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := k.Send(ctx, subscription("run"), ofJSON("{}")); o.State != deliver.Failed {
		t.Errorf("ended before it began: %+v", o)
	}
}

func TestCommandThatCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain, setuid, passing, garbled := filepath.Join(dir, "plain"), filepath.Join(dir, "setuid"), filepath.Join(dir, "passing"), filepath.Join(dir, "garbled")
	for path, mode := range map[string]fs.FileMode{plain: 0o644, setuid: 0o755 | fs.ModeSetuid, passing: 0o755, garbled: 0o755} {
		if err := errors.Join(os.WriteFile(path, []byte("#!/nowhere/sh\n"), 0o755), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for path, says := range map[string]string{dir + "/missing": "is not there", dir: "is no file", plain: "may not be executed", setuid: "setuid", plain + "/x": "cannot be looked at"} {
		_, err := deliver.NewCommands(config.Commands{"run": {Argv: []string{path}}})
		if f := fault.As(err); f == nil || f.Code != "config_invalid" || f.Fields["variable"] != "TINYDEV_COMMANDS" || !strings.Contains(f.Message, path+" of the command run") || !strings.Contains(f.Message, says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	k := programs(t, config.Commands{"passing": {Argv: []string{passing}}, "garbled": {Argv: []string{garbled}}})
	if err := os.Remove(passing); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"passing", "garbled"} { // the one is away by now, the other's interpreter never was there
		if o := k.Send(t.Context(), subscription(name), ofJSON("{}")); o.State != deliver.Failed || !strings.Contains(o.Error, "did not run") || !strings.Contains(o.Error, "no such file") {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// Whatever a program does, nothing of it is left when the attempt is over.
func TestCommandLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		timeout      time.Duration
		state        deliver.State
		says         string
	}{
		{"ignores SIGTERM, with children and grandchildren", `trap '' TERM; sleep 300 & echo $!; (trap '' TERM; sleep 300 & echo $!; exec sleep 300) & echo $!; sleep 300`, 500 * time.Millisecond, deliver.Failed, "did not end within 500 ms and was stopped"},
		{"ends on SIGTERM, its child does not", `(trap '' TERM; echo ready; exec sleep 300) & echo $!; trap 'echo bye; exit 0' TERM; wait`, 500 * time.Millisecond, deliver.Failed, "did not end within 500 ms and was stopped"},
		{"stops itself", `echo $$; kill -STOP $$`, 500 * time.Millisecond, deliver.Failed, "did not end within 500 ms and was stopped"},
		{"leaves a child", `sleep 300 & echo $!`, time.Minute, deliver.Delivered, ""},
		{"leaves one that ignores SIGTERM", `(trap '' TERM; exec sleep 300) & echo $!; exit 5`, time.Minute, deliver.Failed, "exit status 5"},
		{"leaves one that writes for ever", `yes >/dev/null & echo $!; yes &`, time.Minute, deliver.Delivered, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			o := commands(t, c.script).Send(within(t, c.timeout), subscription("run"), ofJSON("{}"))
			if o.State != c.state || o.Error != c.says {
				t.Errorf("%+v", o)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			pids := 0
			for _, word := range strings.Fields(o.Response) {
				if _, err := strconv.Atoi(word); err == nil {
					gone(t, word)
					pids++
				}
			}
			if pids == 0 {
				t.Errorf("nothing ran: %q", o.Response)
			}
		})
	}
}

// One that leaves its process group lives on, but holds nobody up by holding the output open.
func TestCommandWaitsForNoDaemon(t *testing.T) {
	t.Parallel()
	pidFile, start := filepath.Join(t.TempDir(), "pid"), time.Now()
	o := commands(t, `setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60' sh "$1" & while [ ! -e "$1" ]; do sleep 0.01; done; echo done`, pidFile).
		Send(within(t, 30*time.Second), subscription("run"), ofJSON("{}"))
	if took := time.Since(start); o.State != deliver.Delivered || o.Response != "done\n" || took > 25*time.Second {
		t.Errorf("after %s: %+v", took, o)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Errorf("process %s is not there: %v", text, err)
	}
}

func TestCommandTimeout(t *testing.T) {
	t.Parallel()
	k := programs(t, config.Commands{"own": {Argv: []string{"/bin/sleep", "300"}, TimeoutSeconds: 1}, "long": {Argv: []string{"/bin/sleep", "300"}, TimeoutSeconds: 3600}})
	if o := k.Send(within(t, time.Minute), subscription("own"), ofJSON("{}")); o.State != deliver.Failed || o.Error != "did not end within 1 s and was stopped" {
		t.Errorf("its own: %+v", o)
	}
	if o := k.Send(within(t, 200*time.Millisecond), subscription("long"), ofJSON("{}")); o.State != deliver.Failed || o.Error != "did not end within 200 ms and was stopped" {
		t.Errorf("the subscription's: %+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if o := k.Send(ctx, subscription("long"), ofJSON("{}")); o.State != deliver.Failed || o.Error != "was stopped before its end" {
		t.Errorf("the server stops: %+v", o)
	}
}

// Limits hold when the event is handed over, at the latest.
func TestCommandHasLimits(t *testing.T) {
	t.Parallel()
	o := commands(t, `cat >/dev/null; awk '/cpu time|data size|open files|core file/ {print $2, $4, $5}' /proc/self/limits | sort`).Send(within(t, 30*time.Second), subscription("run"), ofJSON("{}"))
	if o.Response != "core size 0\ncpu 31 31\ndata 1073741824 1073741824\nopen 64 64\n" {
		t.Errorf("%+v", o)
	}
	// 2 GiB of memory; and as much processor time as there is time.
	o = commands(t, `cat >/dev/null; dd if=/dev/zero of=/dev/null bs=2G count=1`).Send(within(t, 30*time.Second), subscription("run"), ofJSON("{}"))
	if o.State != deliver.Failed || !strings.Contains(o.Response, "memory exhausted") {
		t.Errorf("%+v", o)
	}
}

// A server that is killed takes its programs along, so that another one does not run them beside it.
func TestCommandEndsWithTheServer(t *testing.T) {
	t.Parallel()
	if pidFile, isServer := strings.CutPrefix(os.Getenv("DELIVER_TEST_CHILD"), t.Name()+"="); isServer {
		o := commands(t, `echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 300`, pidFile).Send(t.Context(), subscription("run"), ofJSON("{}"))
		t.Fatalf("it ended: %+v", o)
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	server := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	server.Env = append(os.Environ(), "DELIVER_TEST_CHILD="+t.Name()+"="+pidFile)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var pid []byte
	eventually(t, "the program runs", func() bool {
		pid, _ = os.ReadFile(pidFile)
		return len(pid) > 0
	})
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	gone(t, string(bytes.TrimSpace(pid)))
}

// Programs that run at the same time get their own events, and nobody else's output.
func TestCommandsAtTheSameTime(t *testing.T) {
	t.Parallel()
	k := commands(t, `cat; echo "$TINYDEV_EVENT_ID" >&2`)
	var all sync.WaitGroup
	for i := range int64(40) {
		all.Go(func() {
			e := event(i)
			o := k.Send(within(t, time.Minute), subscription("run"), e)
			if want := fmt.Sprintf("%s\n%d\n", e[0].JSON, i); o.State != deliver.Delivered || o.Response != want || !json.Valid(e[0].JSON) {
				t.Errorf("%d: %+v", i, o)
			}
		})
	}
	all.Wait()
}
