package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	fanoutLimit   = 25.0                   // ms from COMMIT, p99 of all deliveries, to up to fanoutCalm subscribers
	fanoutCalm    = 1000                   // subscribers that two cores serve, and read, without becoming the measure themselves
	fanoutRatio   = 0.7                    // of the bare loop's deliveries a second
	fanoutPeriod  = 100 * time.Millisecond // between two commits, or longer, for
	fanoutPaced   = 40_000                 // deliveries a second
	fanoutRounds  = 3                      // of each way to deliver as much as goes, in a turn
	roundSize     = 250_000                // deliveries of one
	roundEvents   = 500                    // of one at most
	fanoutWarmUp  = 5                      // events that are not counted
	openAtOnce    = 8
	fanoutPatient = 60 * time.Second
)

// measureFanout measures, with each number of subscribers, of the server and, in turns, of a bare net/http loop that a LISTEN wakes: when
// events that are committed now and then reach each of them; how many deliveries a second there are of events that are committed one by
// one without a pause, and of such that are committed together; and what memory a subscriber takes.
func measureFanout(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("from COMMIT to SSE subscribers, %d s each way in %d turns, and as fast as goes, %d times %d thousand deliveries in each",
		o.fanoutSeconds, o.fanoutTurns, fanoutRounds, roundSize/1000)}
	commits, err := newCommitter(ctx, s)
	if err != nil {
		return out, err
	}
	defer commits.close(ctx)
	number := 0
	for _, subscribers := range o.subscribers {
		if most := openFiles(); most < uint64(subscribers)+200 {
			out.aim(false, fmt.Sprintf("%d subscribers", subscribers), fmt.Sprintf("%d files", most), fmt.Sprintf("%d files may be open (ulimit -Hn)", subscribers+200))
			continue
		}
		f := fanout{s: s, commits: commits, subscribers: subscribers, number: number}
		if err := f.measure(ctx, o); err != nil {
			return out, err
		}
		f.report(&out)
		number = f.number
	}
	return out, nil
}

// openFiles is how many files a process may have open.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Max
}

// fanout measures with one number of subscribers.
type fanout struct {
	s           *stage
	commits     *committer
	subscribers int
	number      int // of the next event
	ours, bare  fanoutSide
}

// fanoutSide is the server or the bare loop.
type fanoutSide struct {
	address, path string
	pid           int
	times         sample                  // ms from COMMIT, of the paced events
	cpu           time.Duration           // for them
	rounds        [len(throughput)]rounds // as throughput names them
	memory        int64                   // kB that all subscribers take
}

// rounds are deliveries as fast as goes.
type rounds struct {
	rates sample // deliveries a second
	cpu   time.Duration
	total int
}

// throughput are the ways to commit as much as goes.
var throughput = [...]struct {
	words  string
	commit func(c *committer, ctx context.Context, from, count int) (began time.Time, err error)
}{
	{"one by one", (*committer).commitEach},
	{"together", (*committer).commitMany},
}

func (f *fanout) measure(ctx context.Context, o options) error {
	if err := f.s.restartServer(ctx); err != nil { // so that its memory is that of a fresh one
		return err
	}
	bare, stopBare, err := startBare(ctx, f.s)
	if err != nil {
		return err
	}
	defer stopBare()
	f.ours = fanoutSide{address: f.s.url, path: "/v1/events/stream", pid: f.s.server.Process.Pid}
	f.bare = fanoutSide{address: bare.address, path: "/", pid: bare.pid}
	for turn := range o.fanoutTurns {
		for half := range 2 {
			side := &f.ours
			if (turn+half)%2 == 1 {
				side = &f.bare
			}
			stopProfile, err := f.s.record(o, fmt.Sprintf("fanout-%d", f.subscribers), side.pid)
			if err != nil {
				return err
			}
			err = f.turn(ctx, side, time.Duration(o.fanoutSeconds)*time.Second/time.Duration(o.fanoutTurns))
			stopProfile()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fanout) report(out *section) {
	n := f.subscribers
	for way, t := range throughput {
		ratio := f.ours.rounds[way].rates.median() / f.bare.rounds[way].rates.median()
		out.aim(ratio >= fanoutRatio, fmt.Sprintf("bare deliveries a second, %s to %d", t.words, n), fmt.Sprintf("%.2f times", ratio), fmt.Sprintf("≥ %.1f", fanoutRatio))
	}
	if n <= fanoutCalm {
		out.aim(f.ours.times.percentile(99) < fanoutLimit, fmt.Sprintf("p99 from COMMIT to %d", n), fmt.Sprintf("%.1f ms", f.ours.times.percentile(99)), fmt.Sprintf("< %.0f ms", fanoutLimit))
	}
	out.say("to %d, an event each %d ms: %.2f times the bare loop at p50, %.2f times at p99; all came, once and in order",
		n, f.period().Milliseconds(), f.ours.times.median()/f.bare.times.median(), f.ours.times.percentile(99)/f.bare.times.percentile(99))
	for name, side := range f.sides() {
		out.say("  %-13s  %s  %.1f µs of CPU a delivery", name, side.times.spread(), cpuEach(side.cpu, len(side.times)))
	}
	for way, t := range throughput {
		out.say("to %d, %d events committed %s", n, f.round(), t.words)
		for name, side := range f.sides() {
			r := side.rounds[way]
			out.say("  %-13s  %4.0f thousand deliveries a second (%s)  %.1f µs of CPU a delivery", name, r.rates.median()/1000, r.rates.scaled(1e-3).list(), cpuEach(r.cpu, r.total))
		}
	}
	out.say("memory of a subscriber, of %d: server %d bytes, bare net/http %d", n, f.ours.memory*1024/int64(n), f.bare.memory*1024/int64(n))
}

// sides gives both with their names.
func (f *fanout) sides() iter.Seq2[string, *fanoutSide] {
	return func(yield func(string, *fanoutSide) bool) {
		_ = yield("server", &f.ours) && yield("bare net/http", &f.bare)
	}
}

func (f *fanout) period() time.Duration {
	return max(fanoutPeriod, time.Duration(f.subscribers)*time.Second/fanoutPaced)
}

// round is the number of events of one round.
func (f *fanout) round() int { return max(1, min(roundEvents, roundSize/f.subscribers)) }

func cpuEach(cpu time.Duration, deliveries int) float64 {
	return float64(cpu.Microseconds()) / float64(deliveries)
}

// turn has subscribers connect and then commits events, of which all have to arrive: a few to warm up, some at their times, and many.
func (f *fanout) turn(ctx context.Context, side *fanoutSide, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length+3*time.Minute)
	defer cancel()
	status := filepath.Join("/proc", fmt.Sprint(side.pid), "status")
	before := kilobytes(status, "VmRSS")
	streams, err := f.open(ctx, side)
	defer func() {
		for _, st := range streams {
			st.close()
		}
	}()
	if err != nil {
		return err
	}
	paced := int(length / f.period())
	r := newReading(streams, f.number, fanoutWarmUp+paced+len(throughput)*fanoutRounds*f.round(), fanoutWarmUp, fanoutWarmUp+paced)
	f.number += r.events
	if _, err := f.pace(ctx, r, 0, fanoutWarmUp); err != nil {
		return err
	}
	if side.memory == 0 { // later what others left is used again
		side.memory = kilobytes(status, "VmRSS") - before
	}
	used := processorTime(side.pid)
	committed, err := f.pace(ctx, r, fanoutWarmUp, fanoutWarmUp+paced)
	if err != nil {
		return err
	}
	side.cpu += processorTime(side.pid) - used
	for _, arrived := range r.arrived {
		for i, at := range arrived {
			side.times.add(r.began.Add(at).Sub(committed[i]))
		}
	}
	for i, next := 0, fanoutWarmUp+paced; next < r.events; i, next = i+1, next+f.round() {
		way := i % len(throughput)
		used := processorTime(side.pid)
		began, err := throughput[way].commit(f.commits, ctx, r.first+next, f.round())
		if err != nil {
			return err
		}
		last, err := r.wait(ctx, next+f.round()-1)
		if err != nil {
			return err
		}
		side.rounds[way].add(f.subscribers*f.round(), last.Sub(began), processorTime(side.pid)-used)
	}
	return nil
}

func (r *rounds) add(deliveries int, took, cpu time.Duration) {
	r.rates = append(r.rates, float64(deliveries)/took.Seconds())
	r.cpu += cpu
	r.total += deliveries
}

// open connects all subscribers. Those that are open are given with an error too.
func (f *fanout) open(ctx context.Context, side *fanoutSide) (streams []*stream, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range openAtOnce {
		all.Go(func() {
			for {
				mu.Lock()
				enough := len(streams) >= f.subscribers || err != nil
				mu.Unlock()
				if enough {
					return
				}
				st, failed := openStream(ctx, side.address, side.path, f.s.token)
				mu.Lock()
				if failed != nil {
					err = fmt.Errorf("subscriber %d of %d: %w", len(streams)+1, f.subscribers, failed)
				} else {
					streams = append(streams, st)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, more := range streams[min(len(streams), f.subscribers):] {
		more.close()
	}
	return streams[:min(len(streams), f.subscribers)], err
}

// pace commits the events of a turn from one to before another, each at its time, and waits until all have arrived.
func (f *fanout) pace(ctx context.Context, r *reading, from, to int) (committed []time.Time, err error) {
	start := time.Now()
	for n := from; n < to; n++ {
		time.Sleep(time.Until(start.Add(time.Duration(n-from) * f.period())))
		at, err := f.commits.commit(ctx, r.first+n)
		if err != nil {
			return nil, err
		}
		committed = append(committed, at)
	}
	_, err = r.wait(ctx, to-1)
	return committed, err
}

// reading is what all subscribers read in a turn.
type reading struct {
	first, events int               // number of the first event, and how many
	from, to      int               // those whose arrivals are kept
	began         time.Time         // arrivals count from here
	arrived       [][]time.Duration // by subscriber and event
	left          []atomic.Int32    // subscribers that have not got an event
	last          chan complete
	failed        chan error
}

// complete is an event that has reached all.
type complete struct {
	event int
	at    time.Time
}

// newReading has the streams read.
func newReading(streams []*stream, first, events, from, to int) *reading {
	r := &reading{first: first, events: events, from: from, to: to, began: time.Now(), arrived: make([][]time.Duration, len(streams)), left: make([]atomic.Int32, events),
		last: make(chan complete, events), failed: make(chan error, len(streams))}
	for n := range r.left {
		r.left[n].Store(int32(len(streams)))
	}
	for i, st := range streams {
		r.arrived[i] = make([]time.Duration, 0, to-from)
		go func() {
			if err := r.read(st, &r.arrived[i]); err != nil {
				r.failed <- fmt.Errorf("subscriber %d: %w", i+1, err)
			}
		}()
	}
	return r
}

// read takes all events of a turn, which have to come once and in order.
func (r *reading) read(st *stream, arrived *[]time.Duration) error {
	for n := range r.events {
		number, at, err := st.next()
		if err != nil {
			return err
		}
		if number != r.first+n {
			return fmt.Errorf("event %d arrived where %d was due", number, r.first+n)
		}
		if n >= r.from && n < r.to {
			*arrived = append(*arrived, at.Sub(r.began))
		}
		if r.left[n].Add(-1) == 0 {
			r.last <- complete{n, at}
		}
	}
	return nil
}

// wait gives when an event had reached all.
func (r *reading) wait(ctx context.Context, event int) (time.Time, error) {
	limit := time.NewTimer(fanoutPatient)
	defer limit.Stop()
	for {
		select {
		case c := <-r.last:
			if c.event == event {
				return c.at, nil
			}
		case err := <-r.failed:
			return time.Time{}, err
		case <-limit.C:
			return time.Time{}, fmt.Errorf("event %d did not reach all within %v", event, fanoutPatient)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// record has perf record a process, when asked to; stop ends it.
func (s *stage) record(o options, name string, pid int) (stop func(), err error) {
	if o.profile == "" {
		return func() {}, nil
	}
	path := fmt.Sprintf("%s-%s-%d.data", o.profile, name, pid)
	cmd := exec.Command("perf", "record", "-q", "-g", "-o", path, "-p", fmt.Sprint(pid))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start perf: %w", err)
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended with the process
		_ = cmd.Wait()
	}, nil
}

// processorTime is what a process has used so far, by the kernel's ticks of 10 ms.
func processorTime(pid int) time.Duration {
	line := firstLine(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	_, rest, _ := strings.Cut(line, ") ") // the name before it may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
