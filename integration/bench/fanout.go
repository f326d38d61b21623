package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	fanoutLimit  = 25.0 // ms from COMMIT, p99 of all deliveries
	fanoutPeriod = 100 * time.Millisecond
)

// measureFanout commits ten events a second and measures when each reaches each of the subscribers: of the server, and, in turns,
// of a bare net/http loop that a LISTEN wakes.
func measureFanout(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("from COMMIT to %d SSE subscribers at 10 events a second, %d s each way in %d turns", o.subscribers, o.fanoutSeconds, o.fanoutTurns)}
	commits, err := newCommitter(ctx, s)
	if err != nil {
		return out, err
	}
	defer commits.close(ctx)
	bareURL, stopBare, err := startBare(ctx, s)
	if err != nil {
		return out, err
	}
	defer stopBare()

	var ours, bare sample
	var oursCPU, bareCPU time.Duration
	perTurn := o.fanoutSeconds * int(time.Second/fanoutPeriod) / o.fanoutTurns
	number := 0
	for turn := range o.fanoutTurns {
		for half := range 2 {
			address, path, times, cpu, pid := s.url, "/v1/events/stream", &ours, &oursCPU, s.server.Process.Pid
			if (turn+half)%2 == 1 {
				address, path, times, cpu, pid = bareURL.address, "/", &bare, &bareCPU, bareURL.pid
			}
			stopProfile, err := s.record(o, "fanout", pid)
			if err != nil {
				return out, err
			}
			f := fanout{s: s, commits: commits, subscribers: o.subscribers, first: number, events: perTurn, pid: pid}
			used, err := f.run(ctx, address, path, times)
			*cpu += used
			stopProfile()
			if err != nil {
				return out, err
			}
			number += warmUp + perTurn
		}
	}
	out.aim(ours.percentile(99) < fanoutLimit, "p99 from COMMIT", fmt.Sprintf("%.1f ms", ours.percentile(99)), fmt.Sprintf("< %.0f ms", fanoutLimit))
	out.say("%.2f times the bare loop at p50, %.2f times at p99; all of %d + %d deliveries arrived, once and in order",
		ours.median()/bare.median(), ours.percentile(99)/bare.percentile(99), len(ours), len(bare))
	out.say("server         %s  %.1f µs of CPU a delivery", ours.spread(), cpuEach(oursCPU, len(ours)))
	out.say("bare net/http  %s  %.1f µs of CPU a delivery", bare.spread(), cpuEach(bareCPU, len(bare)))
	return out, nil
}

func cpuEach(cpu time.Duration, deliveries int) float64 {
	return float64(cpu.Microseconds()) / float64(deliveries)
}

// fanout is one turn: subscribers connect, events are committed at their times, all have to arrive.
type fanout struct {
	s           *stage
	commits     *committer
	subscribers int
	first       int // number of the first event
	events      int // after the warm-up
	pid         int // of the server
}

// run adds the time of each delivery to times and gives the processor time that the server used for them.
func (f *fanout) run(ctx context.Context, address, path string, times *sample) (used time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.events)*fanoutPeriod+2*time.Minute)
	defer cancel()
	streams := make([]*stream, f.subscribers)
	defer func() {
		for _, st := range streams {
			if st != nil {
				st.close()
			}
		}
	}()
	for i := range streams {
		if streams[i], err = openStream(ctx, address, path, f.s.token); err != nil {
			return 0, fmt.Errorf("subscriber %d of %d: %w", i+1, f.subscribers, err)
		}
	}
	total := warmUp + f.events
	arrived := make([][]time.Time, f.subscribers)
	errs := make(chan error, f.subscribers)
	var readers sync.WaitGroup
	for i, st := range streams {
		arrived[i] = make([]time.Time, total)
		readers.Go(func() {
			if err := f.read(st, arrived[i]); err != nil {
				errs <- fmt.Errorf("subscriber %d: %w", i+1, err)
			}
		})
	}
	committed := make([]time.Time, total)
	start := time.Now()
	for n := range total {
		time.Sleep(time.Until(start.Add(time.Duration(n) * fanoutPeriod)))
		if n == warmUp {
			used = -processorTime(f.pid)
		}
		at, err := f.commits.commit(ctx, f.first+n)
		if err != nil {
			return 0, err
		}
		committed[n] = at
	}
	all := make(chan struct{})
	go func() { readers.Wait(); close(all) }()
	select {
	case <-all:
	case err := <-errs:
		return 0, err
	case <-time.After(30 * time.Second):
		return 0, fmt.Errorf("not all events arrived within 30 s")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	used += processorTime(f.pid)
	for _, at := range arrived {
		for n := warmUp; n < total; n++ {
			times.add(at[n].Sub(committed[n]))
		}
	}
	return used, nil
}

// read takes all events of a turn, which have to come once and in order.
func (f *fanout) read(st *stream, arrived []time.Time) error {
	for n := range arrived {
		number, at, err := st.next()
		if err != nil {
			return err
		}
		if number != f.first+n {
			return fmt.Errorf("event %d arrived where %d was due", number, f.first+n)
		}
		arrived[n] = at
	}
	return nil
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
