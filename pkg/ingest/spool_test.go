package ingest_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := ingest.NewSpool(strings.NewReader("abc"), dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != 3 || s.SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%+v", s)
	}
	file, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if _, err := ingest.NewSpool(strings.NewReader("abcd"), dir, 3); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("over the limit: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := ingest.CleanSpool(dir); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "mine.txt" {
		t.Errorf("left %v", left)
	}
	if err := s.Remove(); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if n, err := ingest.CleanSpool(filepath.Join(dir, "none")); n != 0 || err != nil {
		t.Errorf("no folder: %d, %v", n, err)
	}
}

// TestSpoolFaults checks how errors of the disk are told apart.
func TestSpoolFaults(t *testing.T) {
	err := ingest.SpoolFault("write", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	if e := fault.As(err); e == nil || e.Kind != fault.Storage || e.Code != "storage_full" {
		t.Errorf("%v", err)
	}
	if err := ingest.SpoolFault("write", os.ErrPermission); fault.As(err) != nil {
		t.Errorf("%v", err)
	}
}
