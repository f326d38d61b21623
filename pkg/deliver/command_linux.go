package deliver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// closeInherited keeps programs from what this process was itself started with: Go opens nothing that a program would inherit.
func closeInherited() {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc
	}
	for _, file := range files {
		if fd, err := strconv.Atoi(file.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// runGroup runs a program in a process group of its own and gives it stdin. When ctx ends, or when the program does, what is left of the
// group is ended too: afterwards nothing runs but what had left it (setsid). stopped is true when ctx ended first.
//
// Limits of another process can only be set once it runs. So they are set right after its start, and stdin is handed over after that:
// nothing reads the event without them. err is why it did not run; how it ended is in cmd.ProcessState.
func runGroup(ctx context.Context, cmd *exec.Cmd, stdin []byte) (stopped bool, err error) {
	// The program ends with the thread that started it, also when this server is killed. The thread has to stay until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	pid := cmd.Process.Pid
	ended, fed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(pid)
	}()
	if err = limit(ctx, pid); err == nil {
		go func() {
			defer close(fed)
			_, _ = in.Write(stdin) // the program need not read it
			_ = in.Close()
		}()
		select {
		case <-ended:
		case <-ctx.Done():
			stopped = true
			_ = syscall.Kill(-pid, syscall.SIGTERM)
			grace := time.NewTimer(commandGrace)
			defer grace.Stop()
			select {
			case <-ended:
			case <-grace.C:
			}
		}
	} else {
		close(fed)
	}
	// The program was not waited for yet, so that its number, and the group's, are nobody else's.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-ended
	_ = cmd.Wait() // ProcessState tells
	<-fed          // the pipe was closed by Wait
	return stopped, err
}

// awaitEnd blocks until a child has ended, and leaves it to be waited for.
func awaitEnd(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// limit sets what a process and those that it starts may use, each: as much processor time as there is time, 1 GiB of memory, 64 open files,
// no core files.
//
// The memory is RLIMIT_DATA, what can be written to. RLIMIT_AS would also count what is only reserved: with 1 GiB of it Java does not start.
func limit(ctx context.Context, pid int) error {
	seconds := uint64(3600)
	if end, ok := ctx.Deadline(); ok {
		seconds = uint64(math.Ceil(max(0, time.Until(end).Seconds()))) + 1
	}
	for _, l := range []struct {
		resource int
		most     uint64
	}{
		{unix.RLIMIT_CPU, seconds},
		{unix.RLIMIT_DATA, 1 << 30},
		{unix.RLIMIT_NOFILE, 64},
		{unix.RLIMIT_CORE, 0},
	} {
		var now unix.Rlimit
		if err := unix.Prlimit(pid, l.resource, nil, &now); err != nil {
			return fmt.Errorf("read the limits of the program: %w", err)
		}
		most := min(l.most, now.Max) // only root may raise it
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
			return fmt.Errorf("limit the program: %w", err)
		}
	}
	return nil
}
