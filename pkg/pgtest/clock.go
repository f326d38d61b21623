package pgtest

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

// Clock is what a PostgreSQL of Clocked reads the time from. It stands still until it is set.
type Clock struct {
	page []byte
}

// Set makes it t, to the second, at once and for all processes of the server.
func (c *Clock) Set(t time.Time) {
	atomic.StoreInt64((*int64)(unsafe.Pointer(&c.page[clockOffset])), t.Unix())
}

// Clocked gives a PostgreSQL of a kind (see Ways) with pg_cron live, the schema and the test users, stopped after the test. All its
// processes read the time from the clock, except where they only measure how long something takes. Time-outs that PostgreSQL checks
// against the time of day never pass while the clock stands still.
//
// The clock is a shared library that PostgreSQL is started with, made here so that the tests need no compiler and no package; that works
// with glibc on amd64 and arm64.
func Clocked(t testing.TB, way string, at time.Time, settings map[string]string) (*Database, *Clock) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	settings = maps.Clone(settings)
	settings["fsync"] = "off"
	settings["autovacuum"] = "off" // its launcher would sleep by the clock
	dir, err := os.MkdirTemp("", "tinydev-test-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o711) // for the user who runs PostgreSQL
	}
	if err != nil {
		t.Fatal(err)
	}

	clock := &Clock{}
	t.Cleanup(func() {
		if clock.page != nil {
			_ = unix.Munmap(clock.page) // nothing is lost in it
		}
	})
	var url func(user, database string) string
	if way == "container" {
		c, err := StartContainer(ctx, ContainerOptions{
			Settings: settings,
			Env:      map[string]string{"LD_PRELOAD": containerVolume + "/clock.so"},
			Prepare: func(volume string, _, _ int) error {
				return clock.open(filepath.Join(volume, "clock.so"), at)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		url = c.DSN
	} else {
		if err := clock.open(filepath.Join(dir, "clock.so"), at); err != nil {
			t.Fatal(err)
		}
		c, err := cluster.Open(ctx, cluster.Config{DataDir: filepath.Join(dir, "data"), Settings: settings, Env: []string{"LD_PRELOAD=" + filepath.Join(dir, "clock.so")},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Destroy(context.Background()) })
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		url = c.URL
	}
	d := &Database{t: t, url: url, Name: cluster.Database}
	if now := Value[time.Time](t, d.Superuser(), "select clock_timestamp()"); !now.Equal(at) {
		t.Fatalf("PostgreSQL reads %v and not the test's clock, %v: is the folder for temporary files (%s) mounted noexec, or the C library not glibc?", now, at, os.TempDir())
	}
	if err := Install(ctx, d.URL(cluster.Superuser)); err != nil {
		t.Fatal(err)
	}
	return d, clock
}

// open makes the library and maps its clock.
func (c *Clock) open(path string, at time.Time) error {
	library, err := clockLibrary()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, library, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o755); err != nil { // whatever the umask
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if c.page, err = unix.Mmap(int(file.Fd()), 0, clockPage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return errors.Join(fmt.Errorf("map the clock: %w", err), file.Close())
	}
	c.Set(at)
	return file.Close()
}

// Where things are in the library. The first page is mapped read-only, so what Set writes into the file is what every process that
// loaded it reads; the second one holds what the dynamic linker writes to. 64 KiB is the largest page that there is.
const (
	clockPage    = 64 << 10
	clockOffset  = 0x400 // seconds since 1970
	clockCode    = 0x408
	clockSymbols = 0x500
	clockStrings = 0x600
	clockHash    = 0x700
)

// clockLibrary is an ELF file that holds gettimeofday and nothing else: PostgreSQL asks it for every time of day.
func clockLibrary() ([]byte, error) {
	var machine elf.Machine
	var code []byte
	switch runtime.GOARCH {
	case "amd64":
		machine, code = elf.EM_X86_64, []byte{
			0xf3, 0x0f, 0x1e, 0xfa, // endbr64
			0x48, 0x8b, 0x05, 0xed, 0xff, 0xff, 0xff, // mov rax, [rip-19]: the clock
			0x48, 0x89, 0x07, // mov [rdi], rax
			0x48, 0xc7, 0x47, 0x08, 0, 0, 0, 0, // mov qword [rdi+8], 0
			0x31, 0xc0, // xor eax, eax
			0xc3, // ret
		}
	case "arm64":
		machine, code = elf.EM_AARCH64, []byte{
			0xc2, 0xff, 0xff, 0x58, // ldr x2, -8: the clock
			0x02, 0x7c, 0x00, 0xa9, // stp x2, xzr, [x0]
			0x00, 0x00, 0x80, 0x52, // mov w0, 0
			0xc0, 0x03, 0x5f, 0xd6, // ret
		}
	default:
		return nil, fmt.Errorf("a PostgreSQL with a clock of its own is known for amd64 and arm64, not for %s", runtime.GOARCH)
	}

	const names = "\x00gettimeofday\x00clock.so\x00"
	file := make([]byte, clockPage)
	put := func(at int, parts ...any) {
		var b bytes.Buffer
		for _, part := range parts {
			if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
				panic(err) // a part that is not of fixed size
			}
		}
		copy(file[at:], b.Bytes())
	}
	dynamic := []elf.Dyn64{
		{Tag: int64(elf.DT_SONAME), Val: 14},
		{Tag: int64(elf.DT_HASH), Val: clockHash},
		{Tag: int64(elf.DT_STRTAB), Val: clockStrings},
		{Tag: int64(elf.DT_SYMTAB), Val: clockSymbols},
		{Tag: int64(elf.DT_STRSZ), Val: uint64(len(names))},
		{Tag: int64(elf.DT_SYMENT), Val: elf.Sym64Size},
		{},
	}
	size := uint64(binary.Size(dynamic))
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: clockPage, Memsz: clockPage, Align: clockPage},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: clockPage, Vaddr: clockPage, Paddr: clockPage, Filesz: size, Memsz: size, Align: clockPage},
		{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R | elf.PF_W), Off: clockPage, Vaddr: clockPage, Paddr: clockPage, Filesz: size, Memsz: size, Align: 8},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}
	put(0, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)), Shentsize: 64,
	}, segments)
	put(clockCode, code)
	put(clockSymbols, elf.Sym64{}, elf.Sym64{
		Name: 1, Info: byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_FUNC), Shndx: 1, Value: clockCode, Size: uint64(len(code)),
	})
	put(clockStrings, []byte(names))
	put(clockHash, []uint32{1, 2, 1, 0, 0}) // one bucket, two symbols: the second is in the bucket
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, dynamic); err != nil {
		return nil, fmt.Errorf("write the clock: %w", err)
	}
	return append(file, b.Bytes()...), nil
}
