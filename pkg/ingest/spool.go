package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// spoolPattern names the files of a spool; CleanSpool removes nothing else.
const spoolPattern = "upload-*.spool"

// Meter reads from another reader, counting bytes and computing their SHA-256 on the way. A limit of
// more than 0 bytes makes a longer stream fail with file_too_large (kind too_large).
type Meter struct {
	r     io.Reader
	sum   hash.Hash
	size  int64
	limit int64
}

// NewMeter makes a Meter; limit 0 is none.
func NewMeter(r io.Reader, limit int64) *Meter {
	return &Meter{r: r, sum: sha256.New(), limit: limit}
}

// Read implements io.Reader.
func (m *Meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.size += int64(n)
	if m.limit > 0 && m.size > m.limit {
		return 0, fault.New(fault.TooLarge, "file_too_large", "the file is larger than %d bytes", m.limit).
			WithHint("split the file, or raise the limit").With("limit_bytes", m.limit)
	}
	m.sum.Write(p[:n])
	return n, err
}

// Size gives the number of bytes read so far.
func (m *Meter) Size() int64 { return m.size }

// SHA256 gives the digest of the bytes read so far, in lower-case hexadecimal.
func (m *Meter) SHA256() string { return hex.EncodeToString(m.sum.Sum(nil)) }

// Spool is a stream that was written to a file so that it can be read more than once.
type Spool struct {
	Path   string
	Size   int64
	SHA256 string // lower-case hexadecimal

	removed func() // nil, or called by Remove
}

// NewSpool writes r to a new file (0600) in dir, which is made (0700) when it is missing. The file
// is gone again when an error is returned. limit 0 is none.
//
// Errors: file_too_large (kind too_large) over the limit; storage_full (kind storage_full) when the
// disk or the quota is; a fault of r as it is.
func NewSpool(r io.Reader, dir string, limit int64) (_ *Spool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, spoolFault("make the spool folder", err)
	}
	file, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return nil, spoolFault("make a spool file", err)
	}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = spoolFault("write the spool file", closed)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	m := NewMeter(r, limit)
	// Reading and writing are told apart here, since io.Copy gives either's error.
	buf := make([]byte, chunkBytes)
	for {
		n, readErr := m.Read(buf)
		if n > 0 {
			if _, err := file.Write(buf[:n]); err != nil {
				return nil, spoolFault("write the spool file", err)
			}
		}
		if readErr == io.EOF {
			return &Spool{Path: file.Name(), Size: m.Size(), SHA256: m.SHA256()}, nil
		}
		if readErr != nil {
			return nil, readFault(readErr)
		}
	}
}

// Open opens the file for reading from its beginning. The caller closes it.
func (s *Spool) Open() (*os.File, error) {
	file, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open the spool file: %w", err)
	}
	return file, nil
}

// Remove deletes the file; it is no error when it is gone.
func (s *Spool) Remove() error {
	if s.removed != nil {
		s.removed()
		s.removed = nil
	}
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the spool file: %w", err)
	}
	return nil
}

// CleanSpool removes the spool files that a killed server left in dir, and gives their number. Call it
// before the first upload is taken, and never while another server uses dir.
func CleanSpool(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("clean the spool folder: %w", err)
	}
	var failed []error
	removed := 0
	for _, entry := range entries {
		if ours, err := filepath.Match(spoolPattern, entry.Name()); err != nil || !ours {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			failed = append(failed, err)
			continue
		}
		removed++
	}
	if err := errors.Join(failed...); err != nil {
		return removed, fmt.Errorf("clean the spool folder %s: %w", dir, err)
	}
	return removed, nil
}

// spoolFault tells a full disk from other trouble.
func spoolFault(act string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.New(fault.Storage, "storage_full", "there is no room left to keep the upload").
			WithHint("free space in the data directory, or load into an existing table, which needs none").Because(fmt.Errorf("%s: %w", act, err))
	}
	return fmt.Errorf("%s: %w", act, err)
}
