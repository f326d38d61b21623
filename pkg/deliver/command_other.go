//go:build !linux

package deliver

import (
	"context"
	"errors"
	"os/exec"
)

// runGroup needs what only Linux has: limits of another process, and its end with ours.
func runGroup(context.Context, *exec.Cmd, []byte) (stopped bool, err error) {
	return false, errors.New("commands run on Linux only")
}

func closeInherited() {}
