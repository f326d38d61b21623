package console

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// Progress shows on a terminal how far a reader has got.
type Progress struct {
	reader io.Reader
	out    io.Writer
	total  int64 // bytes; 0 when not known
	start  time.Time
	done   atomic.Int64
	stop   chan struct{}
	ended  chan struct{}
}

// NewProgress reads through to reader and draws on out, about eight times a second, until Close. total is the number of bytes to
// come, 0 when that is not known.
func NewProgress(reader io.Reader, out io.Writer, total int64) *Progress {
	p := &Progress{reader: reader, out: out, total: total, start: time.Now(), stop: make(chan struct{}), ended: make(chan struct{})}
	go p.draw()
	return p
}

// Read implements io.Reader.
func (p *Progress) Read(b []byte) (int, error) {
	n, err := p.reader.Read(b)
	p.done.Add(int64(n))
	return n, err
}

// Close takes the bar off the screen.
func (p *Progress) Close() {
	close(p.stop)
	<-p.ended
}

func (p *Progress) draw() {
	defer close(p.ended)
	ticker := time.NewTicker(120 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			fmt.Fprint(p.out, "\r\x1b[K")
			return
		case <-ticker.C:
			fmt.Fprint(p.out, "\r\x1b[K"+bar(p.done.Load(), p.total, time.Since(p.start)))
		}
	}
}

// bar is one line: how much, how fast, how long still.
func bar(done, total int64, elapsed time.Duration) string {
	rate := int64(float64(done) / max(elapsed.Seconds(), 0.001))
	if total <= 0 {
		return fmt.Sprintf("%s  %s/s  %s", Bytes(done), Bytes(rate), Duration(elapsed.Truncate(time.Second)))
	}
	const width = 24
	part := min(float64(done)/float64(total), 1)
	full := int(part * width)
	line := fmt.Sprintf("[%s%s] %3d%%  %s of %s  %s/s", strings.Repeat("=", full), strings.Repeat(" ", width-full), int(part*100), Bytes(done), Bytes(total), Bytes(rate))
	switch {
	case done >= total:
		return line + "  sent; the server is finishing"
	case rate > 0:
		left := time.Duration(float64(total-done) / float64(rate) * float64(time.Second))
		return line + "  " + Duration(left) + " left"
	}
	return line
}
