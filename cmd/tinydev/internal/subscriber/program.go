package subscriber

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	firstPause   = time.Second
	longestPause = time.Minute
	endGrace     = 10 * time.Second // for a program that runs when we are to end, before SIGTERM
	killGrace    = 5 * time.Second  // from SIGTERM to SIGKILL
)

// ForEver is the number of retries that never ends.
const ForEver = -1

// Program is run for each event.
type Program struct {
	Name       string // of the subscription
	Path       string // from Find
	Args       []string
	Retries    int // how often it is run again for an event after it failed; ForEver
	SkipFailed bool
	Stdout     io.Writer
	Stderr     io.Writer // of the program, and for what we have to say

	pause time.Duration // before the first retry; 0 is firstPause
}

// Find gives the path of a program that is named as in a shell. Errors: invalid program_not_found.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fault.New(fault.Invalid, "program_not_found", "the program %s cannot be run: %v", name, errors.Unwrap(err)).
			WithHint("name a file that may be executed; for a command of the shell: --exec sh -- -c '…'").Because(err)
	}
	return path, nil
}

// Handle runs the program for an event until it exits with 0, and returns nil then, or when it failed and that is to be passed over.
//
// The event is on its standard input, as a CloudEvent in one line; TINYDEV_EVENT_ID, _TYPE, _SUBJECT, TINYDEV_ATTEMPT and
// TINYDEV_SUBSCRIPTION are added to our environment. When ctx ends, a program that runs may end by itself for ten seconds.
// Errors: a console.Exit with its exit code when it has failed too often, which was said; that of ctx.
func (p *Program) Handle(ctx context.Context, event client.Event) error {
	about := fmt.Sprintf("event %d, %s %s", event.Position, event.Type, console.Printable(event.Subject))
	pause := firstPause
	if p.pause > 0 {
		pause = p.pause
	}
	for attempt := 1; ; attempt++ {
		why, code := p.run(ctx, event, attempt)
		switch {
		case code == 0:
			return nil
		case ctx.Err() != nil:
			p.say("%s: %s; it is not done", about, why)
			return ctx.Err()
		case p.Retries == ForEver || attempt <= p.Retries:
			p.say("%s: %s; trying again in %v (attempt %d)", about, why, pause, attempt+1)
		case p.SkipFailed:
			p.say("%s: %s; passed over", about, why)
			return nil
		default:
			p.say("%s: %s; stopping, and beginning with it the next time", about, why)
			return console.Exit(code)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

func (p *Program) say(format string, args ...any) { fmt.Fprintf(p.Stderr, format+"\n", args...) }

// run runs the program once. code is 0 when it is done, as a shell gives it otherwise; why says what happened.
func (p *Program) run(ctx context.Context, event client.Event, attempt int) (why string, code int) {
	killing, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, kill) })()
	cmd := exec.CommandContext(killing, p.Path, p.Args...)
	cmd.Stdin = bytes.NewReader(append(bytes.TrimSpace(event.Raw), '\n'))
	cmd.Stdout, cmd.Stderr = p.Stdout, p.Stderr
	cmd.Env = append(os.Environ(), "TINYDEV_EVENT_ID="+strconv.FormatInt(event.Position, 10), "TINYDEV_EVENT_TYPE="+event.Type,
		"TINYDEV_EVENT_SUBJECT="+event.Subject, "TINYDEV_ATTEMPT="+strconv.Itoa(attempt), "TINYDEV_SUBSCRIPTION="+p.Name)
	cmd.SysProcAttr = apart()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	runtime.LockOSThread() // see apart
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return fmt.Sprintf("%s did not run: %v", p.Path, err), 126
	}
	// What is left to read or to write when it has ended is its own affair.
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return fmt.Sprintf("%s was ended by a signal: %v", p.Path, status.Signal()), 128 + int(status.Signal())
	}
	return fmt.Sprintf("%s exited with code %d", p.Path, cmd.ProcessState.ExitCode()), cmd.ProcessState.ExitCode()
}
