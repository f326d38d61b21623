// Command bench measures uploads, events, refreshes and what they tell of changes, schedules, users' sessions and deliveries beside the bare way of doing the same, in turns and in one run.
//
// It makes a private PostgreSQL with durable settings in a temporary folder, starts the built server on it, and prints for each
// part whether the target is met. The exit code is 0 when all parts ran; with --check it is 1 when a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// options are the sizes of a run.
type options struct {
	binary  string
	dir     string
	only    string
	quick   bool
	check   bool
	profile string

	uploadBytes   int64
	uploadRounds  int
	latencyEvents int
	subscribers   []int
	fanoutSeconds int
	fanoutTurns   int
	refreshRuns   int
	changesRows   []int
	changesRuns   int

	dueViews        int
	idleSchedules   int
	sessionRequests int
	webhooks        int
	webhookTurns    int
	deliveryEvents  int
	logEvents       int
}

// part is one thing that is measured.
type part struct {
	name string
	run  func(ctx context.Context, s *stage, o options) (section, error)
}

var parts = []part{
	{"upload", measureUpload}, // first, while the server's memory is that of a fresh one
	{"latency", measureLatency},
	{"fanout", measureFanout},
	{"refresh", measureRefresh},
	{"changes", measureChanges},
	{"schedules", measureSchedules},
	{"sessions", measureSessions},
	{"deliveries", measureDeliveries},
	{"log", measureLog},
}

func main() {
	// What is measured beside the server runs as processes of this program too.
	if len(os.Args) > 1 {
		if process := map[string]func([]string) error{bareServerCommand: serveBare, barePosterCommand: postBare, forwardCommand: forward}[os.Args[1]]; process != nil {
			exit(process(os.Args[2:]))
			return
		}
	}
	o, chosen, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	missed, err := run(ctx, o, chosen)
	stop()
	exit(err)
	if o.check && missed > 0 {
		os.Exit(1)
	}
}

// exit ends the program when err is not nil.
func exit(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	if f := fault.As(err); f != nil && f.Hint != "" {
		fmt.Fprintln(os.Stderr, "  ", f.Hint)
	}
	os.Exit(1)
}

func parseFlags(args []string) (o options, chosen []part, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/tinydev", "the built server (make build)")
	flags.StringVar(&o.dir, "dir", "", "folder for the cluster and the file; default a temporary one. What is made in it is removed")
	flags.StringVar(&o.only, "only", "", "parts to run, separated by commas: upload, latency, fanout, refresh, changes, schedules, sessions, deliveries, log; default all")
	flags.BoolVar(&o.quick, "quick", false, "a minute in all instead of several: smaller sizes, fewer rounds")
	flags.BoolVar(&o.check, "check", false, "exit with 1 when a target is missed")
	flags.StringVar(&o.profile, "perf", "", "record the server by perf during fanout and upload; the files begin with this path")
	flags.Int64Var(&o.uploadBytes, "upload-bytes", 400e6, "size of the uploaded file")
	flags.IntVar(&o.uploadRounds, "upload-rounds", 5, "uploads each way")
	flags.IntVar(&o.latencyEvents, "latency-events", 500, "commits for the latency of one subscriber")
	flags.Func("subscribers", "numbers of subscribers of the fan-out, separated by commas (default 1000,10000)", func(text string) (err error) {
		o.subscribers, err = numbers(text)
		return err
	})
	flags.IntVar(&o.fanoutSeconds, "fanout-seconds", 12, "length of the fan-out each way and for each number of subscribers, at up to 10 events a second")
	flags.IntVar(&o.fanoutTurns, "fanout-turns", 2, "pieces of that length, taken in turns")
	flags.IntVar(&o.refreshRuns, "refresh-runs", 31, "refreshes each way and size")
	flags.Func("changes-rows", "sizes of the views whose changes are tracked, separated by commas (default 1000,100000,1000000; quick 1000,100000)", func(text string) (err error) {
		o.changesRows, err = numbers(text)
		return err
	})
	flags.IntVar(&o.changesRuns, "changes-runs", 9, "refreshes of each way to track changes and size")
	flags.IntVar(&o.dueViews, "due-views", 2000, "views that are due in one minute")
	flags.IntVar(&o.idleSchedules, "idle-schedules", 10000, "schedules of which none is due")
	flags.IntVar(&o.sessionRequests, "session-requests", 2000, "requests each way in a warm session")
	flags.IntVar(&o.webhooks, "webhooks", 20000, "webhooks of one turn")
	flags.IntVar(&o.webhookTurns, "webhook-turns", 4, "turns each way")
	flags.IntVar(&o.deliveryEvents, "delivery-events", 200, "commits for the latency of each kind of subscription")
	flags.IntVar(&o.logEvents, "log-events", 10_000_000, "events in the large log whose pages are read")
	if err := flags.Parse(args); err != nil {
		return o, nil, err
	}
	if flags.NArg() > 0 {
		return o, nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if o.quick {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{"upload-bytes": "100000000", "upload-rounds": "3", "latency-events": "200",
			"fanout-seconds": "4", "refresh-runs": "15", "changes-rows": "1000,100000", "changes-runs": "5", "due-views": "300", "idle-schedules": "2000", "session-requests": "600",
			"webhooks": "10000", "webhook-turns": "2", "delivery-events": "60", "log-events": "1000000"} {
			if given[name] {
				continue
			}
			if err := flags.Set(name, value); err != nil {
				return o, nil, err
			}
		}
	}
	if o.subscribers == nil {
		o.subscribers = []int{1000, 10_000}
	}
	if o.changesRows == nil {
		o.changesRows = []int{1000, 100_000, 1_000_000}
	}
	for name, value := range map[string]int64{"upload-bytes": o.uploadBytes, "upload-rounds": int64(o.uploadRounds), "latency-events": int64(o.latencyEvents),
		"subscribers": int64(slices.Min(o.subscribers)), "fanout-turns": int64(o.fanoutTurns), "fanout-seconds": int64(o.fanoutSeconds / max(1, o.fanoutTurns)),
		"refresh-runs": int64(o.refreshRuns), "changes-rows": int64(slices.Min(o.changesRows)), "changes-runs": int64(o.changesRuns), "due-views": int64(o.dueViews), "idle-schedules": int64(o.idleSchedules), "session-requests": int64(o.sessionRequests),
		"webhooks": int64(o.webhooks), "webhook-turns": int64(o.webhookTurns), "delivery-events": int64(o.deliveryEvents), "log-events": int64(o.logEvents)} {
		if value < 1 {
			return o, nil, fmt.Errorf("--%s is too small", name)
		}
	}
	chosen, err = choose(o.only)
	return o, chosen, err
}

// numbers reads whole numbers that are separated by commas.
func numbers(text string) (list []int, err error) {
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, errors.New("write whole numbers, separated by commas")
		}
		list = append(list, n)
	}
	return list, nil
}

func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q: upload, latency, fanout, refresh, changes, sessions, deliveries, log", name)
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// run measures the chosen parts and prints each as it is done; missed counts the targets that are not met.
func run(ctx context.Context, o options, chosen []part) (missed int, err error) {
	s, err := openStage(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.describe(ctx, os.Stdout); err != nil {
		return 0, err
	}
	var met int
	for _, p := range chosen {
		began := time.Now()
		result, err := p.run(ctx, s, o)
		if err != nil {
			return missed, fmt.Errorf("measure %s: %w", p.name, err)
		}
		result.print(os.Stdout, p.name, time.Since(began))
		for _, t := range result.targets {
			if t.met {
				met++
			} else {
				missed++
			}
		}
	}
	fmt.Printf("\n%d of %d targets met\n", met, met+missed)
	return missed, nil
}
