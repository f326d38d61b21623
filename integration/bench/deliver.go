package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

const (
	webhookRatio    = 0.7 // of the bare loop's requests a second
	webhookAtOnce   = 16  // as many attempts as the server makes at once for one subscription
	webhookSubjects = 64
	webhookSecret   = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

	barePosterCommand = "bare-poster"
	forwardCommand    = "forward"
)

// target is a receiver of webhooks in this process, which counts and can be asked for single ones.
type receiver struct {
	server  *http.Server
	address string
	count   atomic.Int64
	first   atomic.Int64 // of a turn, Unix nanoseconds; 0 before it
	last    atomic.Int64

	mu      sync.Mutex
	waiting map[int]chan time.Time // by the number of the event
}

func startReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{address: "http://" + listener.Addr().String(), waiting: map[int]chan time.Time{}}
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		at := time.Now()
		if err != nil {
			return
		}
		r.count.Add(1)
		r.first.CompareAndSwap(0, at.UnixNano())
		r.last.Store(at.UnixNano())
		r.mu.Lock()
		if len(r.waiting) > 0 {
			var e struct{ Data struct{ Bench int } }
			if json.Unmarshal(body, &e) == nil {
				if c := r.waiting[e.Data.Bench]; c != nil {
					delete(r.waiting, e.Data.Bench)
					c <- at
				}
			}
		}
		r.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = r.server.Serve(listener) }() // until it is closed
	return r, nil
}

// expect gives a channel on which the time of an event's arrival comes.
func (r *receiver) expect(number int) <-chan time.Time {
	c := make(chan time.Time, 1)
	r.mu.Lock()
	r.waiting[number] = c
	r.mu.Unlock()
	return c
}

func (r *receiver) forget() {
	r.mu.Lock()
	clear(r.waiting)
	r.mu.Unlock()
}

// await waits until n more requests than before came, and gives the time from the first of them to the last. r.first was 0 before.
func (r *receiver) await(ctx context.Context, before, n int64) (time.Duration, error) {
	deadline := time.Now().Add(2 * time.Minute)
	for r.count.Load() < before+n {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return 0, fmt.Errorf("only %d of %d requests came", r.count.Load()-before, n)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Duration(r.last.Load() - r.first.Load()), nil
}

// measureDeliveries compares the server's webhooks with a bare loop of signed POSTs to the same receiver, and measures the time from COMMIT
// to receipt of each kind of subscription.
func measureDeliveries(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("%d webhooks beside a bare loop of signed POSTs, %d at once, to one local receiver, in turns", o.webhooks, webhookAtOnce)}
	r, err := startReceiver()
	if err != nil {
		return out, err
	}
	defer r.server.Close()
	conn, err := s.connect(ctx, user)
	if err != nil {
		return out, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, conn, fmt.Sprintf(
		"select tinydev.create_subscription('bench', 'webhook', '%s', types => array['bench.posted'], secret => '%s'); select tinydev.alter_subscription('bench', active => false)",
		r.address, webhookSecret)); err != nil {
		return out, err
	}
	var ours, bare sample
	var serverCPU, databaseCPU time.Duration
	for turn := range o.webhookTurns {
		for half := range 2 {
			if (turn+half)%2 == 0 {
				if err := s.writeEvents(ctx, conn, o.webhooks); err != nil {
					return out, err
				}
				server, database := processorTime(s.server.Process.Pid), s.databaseTime()
				rate, err := s.webhookTurn(ctx, conn, r, o.webhooks)
				if err != nil {
					return out, err
				}
				ours = append(ours, rate)
				serverCPU += processorTime(s.server.Process.Pid) - server
				databaseCPU += s.databaseTime() - database
			} else {
				rate, err := bareTurn(ctx, r, o.webhooks)
				if err != nil {
					return out, err
				}
				bare = append(bare, rate)
			}
		}
	}
	ratio := ours.median() / bare.median()
	out.aim(ratio >= webhookRatio, "webhooks a second, times the bare loop", fmt.Sprintf("%.2f", ratio), fmt.Sprintf("≥ %.1f", webhookRatio))
	all := o.webhooks * o.webhookTurns
	out.say("server     %s a second; %.1f µs of CPU each, PostgreSQL %.1f µs", ours.list(), cpuEach(serverCPU, all), cpuEach(databaseCPU, all))
	out.say("bare loop  %s a second", bare.list())
	if err := simple(ctx, conn, "select tinydev.drop_subscription('bench')"); err != nil {
		return out, err
	}
	return out, s.deliveryLatency(ctx, &out, r, o)
}

// writeEvents puts n events into the log, about subjects that take turns.
func (s *stage) writeEvents(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, `
select tinydev.record_event('bench.posted', null, 'bench.s' || i % $2, pg_catalog.jsonb_build_object('rows', 3, 'duration_ms', 12, 'cause', 'schedule', 'bench', i))
  from generate_series(1, $1) i`, n, webhookSubjects)
	if err != nil {
		return err
	}
	return s.placed(ctx)
}

// webhookTurn lets the subscription go on, for which n events wait, and gives the requests a second.
func (s *stage) webhookTurn(ctx context.Context, conn *pgx.Conn, r *receiver, n int) (float64, error) {
	before := r.count.Load()
	r.first.Store(0)
	if err := simple(ctx, conn, "select tinydev.alter_subscription('bench', active => true)"); err != nil {
		return 0, err
	}
	took, err := r.await(ctx, before, int64(n))
	if err != nil {
		return 0, err
	}
	if err := simple(ctx, conn, "select tinydev.alter_subscription('bench', active => false)"); err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), nil
}

// databaseTime is the processor time of PostgreSQL's processes that are there.
func (s *stage) databaseTime() time.Duration {
	parent := firstLine(filepath.Join(s.pg.PGData(), "postmaster.pid"))
	var used time.Duration
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, path := range all {
		if _, rest, ok := strings.Cut(firstLine(path), ") "); ok && strings.HasPrefix(rest[2:], parent+" ") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				used += processorTime(pid)
			}
		}
	}
	return used
}

// placed waits until the inbox is empty.
func (s *stage) placed(ctx context.Context) error {
	super, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return err
	}
	defer super.Close(context.WithoutCancel(ctx))
	for left := true; left && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		if err := super.QueryRow(ctx, "select exists (select from tinydev_impl.inbox)").Scan(&left); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// bareTurn has another process post as many requests, and gives those a second.
func bareTurn(ctx context.Context, r *receiver, n int) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, barePosterCommand, r.address, strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil { // it is ready
		return 0, errors.Join(err, cmd.Wait())
	}
	before := r.count.Load()
	r.first.Store(0)
	if err := input.Close(); err != nil {
		return 0, err
	}
	took, err := r.await(ctx, before, int64(n))
	return float64(n) / took.Seconds(), errors.Join(err, cmd.Wait())
}

// postBare is the least that posts signed events: some workers that share a counter and a client.
func postBare(args []string) error {
	if len(args) != 2 {
		return errors.New("bare-poster needs an address and a number")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	signer, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: webhookAtOnce}, Timeout: 30 * time.Second}
	fmt.Println("ready")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make(chan error, webhookAtOnce)
	for range webhookAtOnce {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := postSigned(client, signer, args[0], i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func postSigned(client *http.Client, signer *standardwebhooks.Webhook, address string, number int64) error {
	now := time.Now()
	body := fmt.Appendf(nil, `{"id": "%[1]d", "data": {"rows": 3, "bench": %[1]d, "cause": "schedule", "duration_ms": 12}, "time": "%[2]s", "type": "tinydev.bench.posted", "actor": "bench", "source": "urn:uuid:00000000-0000-0000-0000-000000000000", "subject": "bench.s%[3]d", "workspace": "bench", "specversion": "1.0", "datacontenttype": "application/json"}`,
		number, now.UTC().Format(time.RFC3339Nano), number%webhookSubjects)
	id := strconv.FormatInt(number, 10)
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("content-type", "application/cloudevents+json; charset=utf-8")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %s", answer.Status)
	}
	return nil
}

// deliveryLatency commits events one by one and measures when each reaches the target of each kind. A command's receipt is when its program
// has handed the event on, an e-mail's when the SMTP server has the message.
func (s *stage) deliveryLatency(ctx context.Context, out *section, r *receiver, o options) error {
	commits, err := newCommitter(ctx, s)
	if err != nil {
		return err
	}
	defer commits.close(ctx)
	if err := os.WriteFile(s.forwardFile(), []byte(r.address), 0o600); err != nil {
		return err
	}
	for _, kind := range []struct{ name, sql string }{
		{"webhook", fmt.Sprintf("select tinydev.create_subscription('timed', 'webhook', '%s', types => array['view.refreshed'], secret => '%s')", r.address, webhookSecret)},
		{"e-mail", "select tinydev.create_subscription('timed', 'email', 'ann@example.org', types => array['view.refreshed'], options => '{\"subject\":\"{{.Data.bench}}\"}')"},
		{"command", "select tinydev.create_subscription('timed', 'command', 'forward', types => array['view.refreshed'])"},
	} {
		if err := simple(ctx, commits.conn, kind.sql); err != nil {
			return err
		}
		if err := s.held(ctx); err != nil {
			return err
		}
		var times sample
		for number := range warmUp + o.deliveryEvents {
			expected := r.expect(number)
			if kind.name == "e-mail" {
				expected = s.mail.expect(number)
			}
			at, err := commits.commit(ctx, number)
			if err != nil {
				return err
			}
			select {
			case arrived := <-expected:
				if number >= warmUp {
					times.add(arrived.Sub(at))
				}
			case <-time.After(20 * time.Second):
				return fmt.Errorf("event %d did not reach the %s", number, kind.name)
			}
			time.Sleep(latencyPause)
		}
		r.forget()
		out.say("COMMIT to receipt  %-8s  %s", kind.name, times.spread())
		if err := simple(ctx, commits.conn, "select tinydev.drop_subscription('timed')"); err != nil {
			return err
		}
	}
	return s.insertCost(ctx, out, o)
}

// held waits until the server delivers the subscription that was made last.
func (s *stage) held(ctx context.Context) error {
	super, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return err
	}
	defer super.Close(context.WithoutCancel(ctx))
	for free := true; free && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if err := super.QueryRow(ctx, "select exists (select from tinydev_impl.subscription where active and holder is null)").Scan(&free); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// insertCost measures what subscriptions and generated triggers cost the transaction that writes an event: nothing, since they are served
// after it is committed.
func (s *stage) insertCost(ctx context.Context, out *section, o options) error {
	commits, err := newCommitter(ctx, s)
	if err != nil {
		return err
	}
	defer commits.close(ctx)
	measure := func() (sample, error) {
		var times sample
		for number := range warmUp + o.deliveryEvents {
			start := time.Now()
			if _, err := commits.commit(ctx, number); err != nil {
				return nil, err
			}
			if number >= warmUp {
				times.add(time.Since(start))
			}
		}
		return times, nil
	}
	without, err := measure()
	if err != nil {
		return err
	}
	if err := simple(ctx, commits.conn, `
select tinydev.create_subscription('cost' || i, 'webhook', 'https://example.org/never', types => array['never.happens'], secret => '`+webhookSecret+`') from generate_series(1, 90) i;
select tinydev.create_trigger('cost' || i, types => array['never.happens'], view => null, channel => 'cost') from generate_series(1, 50) i`); err != nil {
		return err
	}
	with, err := measure()
	if err != nil {
		return err
	}
	out.say("the inserting transaction  %.2f ms, with 90 subscriptions and 50 triggers %.2f ms (%.2f times)", without.median(), with.median(), with.median()/without.median())
	return simple(ctx, commits.conn, "select tinydev.drop_subscription('cost' || i) from generate_series(1, 90) i; select tinydev.drop_trigger('cost' || i) from generate_series(1, 50) i")
}

// forward posts its standard input to the address in a file: it is the program of the command that is measured.
func forward(args []string) error {
	if len(args) != 1 {
		return errors.New("forward needs the file with the address")
	}
	address, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	answer, err := http.Post(strings.TrimSpace(string(address)), "application/json", os.Stdin)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
