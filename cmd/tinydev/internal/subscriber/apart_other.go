//go:build !linux

package subscriber

import "syscall"

// apart puts a program into a process group of its own, so that Ctrl-C lets it end its work.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
