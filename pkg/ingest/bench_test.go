package ingest_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

// benchBytes is the size of the file that BenchmarkCopy loads.
var benchBytes = flag.Int("ingest.bytes", 64<<20, "size of the file for BenchmarkCopy")

const benchTable = "id bigint, name text, email text, amount numeric, active boolean, born date, seen timestamptz, note text"

// people makes about size bytes of CSV of 8 columns.
func people(size int) []byte {
	var b bytes.Buffer
	b.Grow(size + 200)
	b.WriteString("id,name,email,amount,active,born,seen,note\n")
	for i := 0; b.Len() < size; i++ {
		note := ""
		if i%10 == 0 {
			note = `"said ""hello"", then left"`
		}
		fmt.Fprintf(&b, "%d,Person %d,person%d@example.org,%d.%02d,%t,19%02d-%02d-%02d,2024-%02d-%02dT10:%02d:00Z,%s\n",
			i, i, i, i%5000, i%100, i%3 == 0, i%100, i%12+1, i%28+1, i%12+1, i%28+1, i%60, note)
	}
	return b.Bytes()
}

func BenchmarkScan(b *testing.B) {
	in := people(32 << 20)
	bare := bytes.ReplaceAll(in, []byte(`"said ""hello"", then left"`), []byte("said hello"))
	quoted := strings.NewReplacer(",", `","`, "\n", "\"\n\"").Replace(`"` + strings.TrimSpace(string(bare)))
	for _, c := range []struct {
		name string
		in   []byte
		scan func(in []byte) error
	}{
		{"plain", in, scanAll},
		{"quoted", []byte(quoted + `"`), scanAll},
		{"encoding-csv", in, func(in []byte) error {
			r := csv.NewReader(bytes.NewReader(in))
			r.ReuseRecord = true
			for {
				if _, err := r.Read(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.scan(c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func scanAll(in []byte) error {
	s, err := ingest.NewScanner(bytes.NewReader(in), ingest.Options{})
	for err == nil {
		_, err = s.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func BenchmarkInfer(b *testing.B) {
	in := people(32 << 20)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		s, err := ingest.NewScanner(bytes.NewReader(in), ingest.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ingest.Infer(context.Background(), s, 100); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopy loads a file by Copy and by psql's \copy in turns, each into a fresh table of a
// committed transaction, and reports the speed of both and the median of their ratio.
func BenchmarkCopy(b *testing.B) {
	conn := connect(b)
	psql, err := exec.LookPath("psql")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "people.csv")
	in := people(*benchBytes)
	size := len(in)
	if err := os.WriteFile(path, in, 0o600); err != nil {
		b.Fatal(err)
	}
	in = nil
	runtime.GC()
	cfg := conn.Config()
	fresh := func() {
		run(b, conn, "drop table if exists public.t; create table public.t ("+benchTable+"); checkpoint")
	}
	byCopy := func() time.Duration {
		fresh()
		start := time.Now()
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer file.Close()
		run(b, conn, "begin")
		s, err := ingest.NewScanner(file, ingest.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ingest.Copy(context.Background(), conn, pgx.Identifier{"public", "t"}, s.Dialect().Header, s); err != nil {
			b.Fatal(err)
		}
		run(b, conn, "commit")
		return time.Since(start)
	}
	byPsql := func() time.Duration {
		fresh()
		start := time.Now()
		cmd := exec.Command(psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", cfg.Host, "-p", fmt.Sprint(cfg.Port), "-U", cfg.User, "-d", cfg.Database,
			"-c", `\copy public.t from '`+path+`' with (format csv, header true)`)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("psql: %v: %s", err, out)
		}
		return time.Since(start)
	}
	var ours, theirs, ratios []float64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; b.Loop(); i++ {
		var mine, other time.Duration
		if i%2 == 0 {
			mine, other = byCopy(), byPsql()
		} else {
			other, mine = byPsql(), byCopy()
		}
		mb := float64(size) / 1e6
		ours, theirs = append(ours, mb/mine.Seconds()), append(theirs, mb/other.Seconds())
		ratios = append(ratios, other.Seconds()/mine.Seconds())
	}
	runtime.ReadMemStats(&after)
	run(b, conn, "drop table public.t")
	b.ReportMetric(median(ours), "copy-MB/s")
	b.ReportMetric(median(theirs), "psql-MB/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "grown-MiB")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
