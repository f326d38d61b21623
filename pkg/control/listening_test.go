package control_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	osexec "os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// psqlListener is a psql process that listens.
type psqlListener struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
	n   int
	got []string // "channel position", as they came
}

func (p *psqlListener) say(sql string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, sql+";\n"); err != nil {
		p.t.Fatal(err)
	}
}

// read reads what psql tells up to now: it prints notifications behind the answer to the next statement.
func (p *psqlListener) read() {
	p.t.Helper()
	p.n++
	mark := fmt.Sprintf("mark %d", p.n)
	p.say("select 1 where false")
	p.say("\\echo " + mark + "\nselect 1 where false")
	for p.out.Scan() {
		line := p.out.Text()
		if m := asynchronous.FindStringSubmatch(line); m != nil {
			p.got = append(p.got, m[1]+" "+m[2])
		}
		if line == mark {
			return
		}
	}
	p.t.Fatalf("psql ended: %v", p.out.Err())
}

// psqlListens starts psql as a role, with statements that listen.
func psqlListens(t *testing.T, db *pgtest.Database, role string, listen ...string) *psqlListener {
	t.Helper()
	cmd := osexec.Command("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", db.URL(role))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("psql: %v", err)
		}
	})
	p := &psqlListener{t: t, in: in, out: bufio.NewScanner(out)}
	for _, sql := range listen {
		p.say(sql)
	}
	p.read()
	return p
}

// pgxListener is a plain program that listens.
type pgxListener struct {
	mu  sync.Mutex
	got []string
}

func pgxListens(t *testing.T, db *pgtest.Database, role string, listen ...string) *pgxListener {
	t.Helper()
	conn := db.Conn(role)
	run(t, conn, listen...)
	p := &pgxListener{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.got = append(p.got, n.Channel+" "+n.Payload)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *pgxListener) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// heard is what a plain listener got since the last call, up to a mark that is sent through the log as an event of Ann's.
type heard struct {
	t       *testing.T
	db      *pgtest.Database
	program *pgxListener
	ann     *pgx.Conn
	n, read int
}

// hears listens to channels. Ann's trigger for marks is made with it.
func hears(t *testing.T, db *pgtest.Database, channels ...string) *heard {
	t.Helper()
	h := &heard{t: t, db: db, ann: db.Conn(pgtest.Ann)}
	run(t, h.ann, "select tinydev.create_trigger('marks', types => array['test.mark'], channel => 'mark')")
	listen := []string{"listen mark"}
	for _, channel := range channels {
		listen = append(listen, "listen "+pgx.Identifier{channel}.Sanitize())
	}
	h.program = pgxListens(t, db, pgtest.Eve, listen...)
	return h
}

// since gives the channels that were notified since the last call, in order.
func (h *heard) since() []string {
	h.t.Helper()
	h.n++
	run(h.t, h.ann, `select tinydev.record_event('test.mark', null, '"Ann".mark')`)
	place(h.t, h.db)
	var got []string
	pgtest.Eventually(h.t, 20*time.Second, "the mark has come", func() bool {
		got = h.program.all()
		marks := 0
		for _, line := range got {
			if strings.HasPrefix(line, "mark ") {
				marks++
			}
		}
		return marks == h.n
	})
	channels := []string{}
	for _, line := range got[h.read:] {
		if channel, _, _ := strings.Cut(line, " "); channel != "mark" {
			channels = append(channels, channel)
		}
	}
	h.read = len(got)
	return channels
}

func (h *heard) want(what string, channels ...string) {
	h.t.Helper()
	if got := h.since(); !slices.Equal(got, channels) {
		h.t.Errorf("%s: notified were %v, want %v", what, got, channels)
	}
}
