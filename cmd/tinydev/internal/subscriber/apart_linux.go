package subscriber

import "syscall"

// apart puts a program into a process group of its own, so that Ctrl-C lets it end its work, and has the kernel kill it when the thread
// that started it ends: also when we are killed, so that the next of us does not run it beside.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
