package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	commandGrace = 2 * time.Second // from SIGTERM to SIGKILL
	pipeGrace    = time.Second     // for what still holds the program's output when it and its process group are gone
)

// Commands is the kind "command": programs that the server's configuration names, the event on their standard input.
//
// There is no shell, and of the server's environment and open files nothing is passed on. Output counts for nothing but the excerpt; exit
// status 0 is a delivery, all else a failure.
type Commands struct{ commands config.Commands }

// NewCommands makes the kind. Errors: invalid config_invalid for a program that is not there, or that this server cannot run or end.
func NewCommands(commands config.Commands) (*Commands, error) {
	for name, c := range commands {
		if why := unusable(c.Argv[0]); why != "" {
			return nil, fault.New(fault.Invalid, "config_invalid", "TINYDEV_COMMANDS: %s of the command %s %s", c.Argv[0], name, why).
				WithHint("name a program that this server may run, or take the command out").With("variable", "TINYDEV_COMMANDS").With("value", c.Argv[0])
		}
	}
	closeInherited()
	return &Commands{commands: commands}, nil
}

// unusable says what is wrong with a program; "" when nothing is.
func unusable(program string) string {
	info, err := os.Stat(program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is not there"
	case err != nil:
		return "cannot be looked at: " + err.Error()
	case !info.Mode().IsRegular():
		return "is no file"
	case info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return "runs as another user (setuid, setgid), so that it could not be stopped"
	case syscall.Access(program, 1) != nil: // X_OK
		return "may not be executed by this server"
	}
	return ""
}

// Name is "command".
func (c *Commands) Name() string { return "command" }

// Send implements Kind. When ctx ends, the program has two seconds to end by itself.
func (c *Commands) Send(ctx context.Context, s Subscription, events []Event) Outcome {
	if len(events) != 1 {
		return failed("a command takes one event at a time, and these are %d", len(events))
	}
	command, known := c.commands[s.Target]
	if !known {
		return failed("the server has no command %q: TINYDEV_COMMANDS names those there are", s.Target)
	}
	if ctx.Err() != nil {
		return failed("was stopped before its start")
	}
	if command.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(command.TimeoutSeconds)*time.Second)
		defer cancel()
	}
	return c.run(ctx, command, s, events[0])
}

// run is one run of a program.
func (c *Commands) run(ctx context.Context, command config.Command, s Subscription, e Event) Outcome {
	start := time.Now()
	var output excerptWriter
	cmd := &exec.Cmd{
		Path: command.Argv[0],
		Args: command.Argv,
		Dir:  "/",
		Env: []string{
			"PATH=/usr/local/bin:/usr/bin:/bin",
			"LANG=C.UTF-8",
			"TINYDEV_EVENT_ID=" + strconv.FormatInt(e.Position, 10),
			"TINYDEV_EVENT_TYPE=tinydev." + e.Type,
			"TINYDEV_EVENT_SUBJECT=" + e.Subject,
			"TINYDEV_ATTEMPT=" + strconv.Itoa(e.Attempt),
			"TINYDEV_SUBSCRIPTION=" + s.Owner + "." + s.Name,
		},
		Stdout:    &output,
		Stderr:    &output,
		WaitDelay: pipeGrace,
	}
	stopped, err := runGroup(ctx, cmd, append(bytes.Clone(e.JSON), '\n')) // a line, as tinydev subscribe gives it
	o := Outcome{State: Failed, Response: excerpt(output.kept)}
	switch {
	case stopped && errors.Is(ctx.Err(), context.DeadlineExceeded):
		o.Error = "did not end within " + timeGiven(ctx, start) + " and was stopped"
	case stopped:
		o.Error = "was stopped before its end"
	case err != nil:
		o.Error = shorten(fmt.Sprintf("the program did not run: %v", err), 300)
	case cmd.ProcessState.Success():
		o.State = Delivered
	default:
		o.Error = cmd.ProcessState.String()
		o.StatusCode = max(0, cmd.ProcessState.ExitCode()) // -1 of one that a signal ended
	}
	return o
}

// excerptWriter keeps the first ResponseBytes that are written to it.
type excerptWriter struct{ kept []byte }

func (w *excerptWriter) Write(p []byte) (int, error) {
	w.kept = append(w.kept, p[:min(len(p), ResponseBytes-len(w.kept))]...)
	return len(p), nil
}
