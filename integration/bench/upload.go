package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

const (
	uploadRatio = 0.9 // of psql's speed
	uploadGrown = 32  // MiB that the server may grow
)

// measureUpload loads the same file by HTTP and by psql's \copy in turns, each into a table of its own that is emptied before.
func measureUpload(ctx context.Context, s *stage, o options) (section, error) {
	out := section{}
	path := filepath.Join(s.dir, "people.csv")
	rows, size, err := writePeople(path, o.uploadBytes)
	if err != nil {
		return out, err
	}
	defer os.Remove(path) // with the folder at the latest
	out.title = fmt.Sprintf("a CSV of %.0f MB, %.1f M rows, 8 columns into an existing table: HTTP beside psql \\copy, %d rounds each in turns",
		float64(size)/1e6, float64(rows)/1e6, o.uploadRounds)
	psql, err := findPsql(s)
	if err != nil {
		return out, err
	}
	for _, table := range []string{"by_http", "by_psql"} {
		err := s.exec(ctx, user, fmt.Sprintf(`create table %s (id bigint, name text, amount numeric, score double precision, active boolean,
  born date, seen timestamptz, note text)`, table))
		if err != nil {
			return out, err
		}
	}
	status := filepath.Join("/proc", strconv.Itoa(s.server.Process.Pid), "status")
	before, peak := kilobytes(status, "VmRSS"), int64(0)
	var ours, bare, ratios sample
	var cpu time.Duration
	for round := range o.uploadRounds {
		var took [2]time.Duration
		for turn := range 2 {
			byPsql := (round+turn)%2 == 1
			table := map[bool]string{false: "by_http", true: "by_psql"}[byPsql]
			if err := s.superuser(ctx, "truncate bench.by_http, bench.by_psql; checkpoint"); err != nil {
				return out, err
			}
			if byPsql {
				took[1], err = copyByPsql(ctx, s, psql, path, table)
			} else {
				took[0], err = uploadOnce(ctx, s, o, path, table, rows, &cpu)
				peak = max(peak, kilobytes(status, "VmHWM"))
			}
			if err != nil {
				return out, err
			}
			if err := countRows(ctx, s, table, rows); err != nil {
				return out, err
			}
		}
		mb := float64(size) / 1e6
		ours, bare = append(ours, mb/took[0].Seconds()), append(bare, mb/took[1].Seconds())
		ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
	}
	grown := float64(peak-before) / 1024
	out.aim(ratios.median() >= uploadRatio, "times psql's speed, median of the rounds", fmt.Sprintf("%.2f", ratios.median()), fmt.Sprintf("≥ %.1f", uploadRatio))
	out.aim(grown < uploadGrown, "growth of the server's memory, at its peak", fmt.Sprintf("%.1f MiB", grown), fmt.Sprintf("< %d MiB", uploadGrown))
	out.say("HTTP        %5.1f MB/s  (%s)   server: %.1f s of CPU an upload, %.1f MiB before, %.1f at the peak",
		ours.median(), ours.list(), cpu.Seconds()/float64(o.uploadRounds), float64(before)/1024, float64(peak)/1024)
	out.say("psql \\copy  %5.1f MB/s  (%s)", bare.median(), bare.list())
	// Neither upkeep of these tables nor a checkpoint shall run while the next part is measured.
	return out, s.superuser(ctx, "drop table bench.by_http, bench.by_psql; checkpoint")
}

// findPsql takes the psql of the server's own installation, else the one in PATH.
func findPsql(s *stage) (string, error) {
	path := filepath.Join(s.pg.Installation().BinDir, "psql")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return exec.LookPath("psql")
}

func copyByPsql(ctx context.Context, s *stage, psql, path, table string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", s.pg.URL(user, cluster.Database),
		"-c", fmt.Sprintf(`\copy %s from '%s' with (format csv, header true)`, table, path))
	start := time.Now()
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("psql: %w: %s", err, output)
	}
	return time.Since(start), nil
}

// uploadOnce sends the file as `curl -F` does: one streamed form whose length is told in advance.
func uploadOnce(ctx context.Context, s *stage, o options, path, table string, rows int, cpu *time.Duration) (time.Duration, error) {
	stopProfile, err := s.record(o, "upload", s.server.Process.Pid)
	if err != nil {
		return 0, err
	}
	defer stopProfile()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	err = writer.WriteField("table", table)
	if err == nil {
		err = writer.WriteField("force", "true") // the same content again is refused otherwise
	}
	if err == nil {
		_, err = writer.CreateFormFile("file", filepath.Base(path))
	}
	head := form.Len()
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	body := io.MultiReader(bytes.NewReader(form.Bytes()[:head]), file, bytes.NewReader(form.Bytes()[head:]))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/uploads", body)
	if err != nil {
		return 0, err
	}
	request.ContentLength = int64(form.Len()) + info.Size()
	request.Header.Set("Content-Type", writer.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+s.token)
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 64 << 10, DisableKeepAlives: true}}
	used := processorTime(s.server.Process.Pid)
	start := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	took := time.Since(start)
	*cpu += processorTime(s.server.Process.Pid) - used
	if err != nil {
		return 0, err
	}
	var loaded struct {
		Rows int `json:"rows"`
	}
	if answer.StatusCode != http.StatusCreated || json.Unmarshal(text, &loaded) != nil || loaded.Rows != rows {
		return 0, fmt.Errorf("upload of %d rows: %s: %s", rows, answer.Status, text)
	}
	return took, nil
}

func countRows(ctx context.Context, s *stage, table string, want int) error {
	conn, err := s.connect(ctx, user)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var count int
	if err := conn.QueryRow(ctx, "select count(*) from "+table).Scan(&count); err != nil {
		return err
	}
	if count != want {
		return fmt.Errorf("%s holds %d rows instead of %d", table, count, want)
	}
	return nil
}

// writePeople writes about size bytes of CSV with a header and columns of eight types, the same bytes each time.
func writePeople(path string, size int64) (rows int, written int64, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	line := []byte("id,name,amount,score,active,born,seen,note\n")
	first := time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)
	for {
		n, err := out.Write(line)
		if err != nil {
			return 0, 0, err
		}
		if written += int64(n); written >= size {
			break
		}
		rows++
		line = strconv.AppendInt(line[:0], int64(rows), 10)
		line = append(line, ",Person "...)
		line = strconv.AppendInt(line, int64(rows%100_000), 10)
		line = append(line, ',')
		line = strconv.AppendFloat(line, float64(rows%1_000_000)/100, 'f', 2, 64)
		line = append(line, ',')
		line = strconv.AppendFloat(line, float64(rows%7919)/7919, 'f', 6, 64)
		line = append(line, ',')
		line = strconv.AppendBool(line, rows%3 == 0)
		line = append(line, ',')
		line = first.AddDate(0, 0, rows%20_000).AppendFormat(line, time.DateOnly)
		line = append(line, ',')
		line = first.Add(time.Duration(rows)*397*time.Second).AppendFormat(line, time.RFC3339)
		switch {
		case rows%10 == 0: // every tenth note needs its quotes, every seventh is empty
			line = append(line, `,"said ""hello"", then left"`...)
		case rows%7 == 0:
			line = append(line, ',')
		default:
			line = append(line, ",met at the fair"...)
		}
		line = append(line, '\n')
	}
	if err := out.Flush(); err != nil {
		return 0, 0, err
	}
	return rows, written, file.Close()
}
