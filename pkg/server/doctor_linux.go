package server

import "golang.org/x/sys/unix"

// diskSpace tells how many bytes the disk of a folder has for us, and in all.
func diskSpace(dir string) (free, total int64, ok bool) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, false
	}
	return int64(stat.Bavail) * stat.Bsize, int64(stat.Blocks) * stat.Bsize, true
}
