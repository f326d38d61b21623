// Package observe sets up logging and metrics, and lists the names that both use.
package observe

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Keys of log records. A record never holds a token, a cookie, a one-time code or the contents of a user's table.
const (
	KeyError     = "error"
	KeyRequestID = "request_id"
	KeyMethod    = "method"
	KeyRoute     = "route"  // the pattern, never the path
	KeyStatus    = "status" // of the HTTP answer
	KeyCode      = "code"   // of the problem
	KeyBytes     = "bytes"  // of the answer
	KeyDuration  = "duration"
	KeyUser      = "user"   // the role
	KeyRemote    = "remote" // the client's address
	KeyStack     = "stack"
)

// NewLogger makes a logger that writes to w. level is debug, info, warn or error, format text or json.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, fmt.Errorf("read the log level: %w", err)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("read the log format: %q is neither text nor json", format)
}

// Metrics is a registry with the metrics that the server sets by itself. Labels come from closed sets: route patterns,
// methods, status codes.
type Metrics struct {
	Registry *prometheus.Registry
	// Requests measures answers by method, route and status; the time of a stream is not measured here.
	Requests *prometheus.HistogramVec
	// InFlight counts the requests being answered, streams among them.
	InFlight prometheus.Gauge
	// UploadBytes counts the bytes of files taken in.
	UploadBytes prometheus.Counter
	// StreamEvents counts the events sent over streams.
	StreamEvents prometheus.Counter
	// Events counts the events that reached this server, by type (without the prefix "tinydev.").
	Events *prometheus.CounterVec
	// RelayLag measures the time from an event's occurring to its reaching this server's subscribers.
	RelayLag prometheus.Histogram
	// Deliveries measures attempts to deliver events, by kind (webhook, email, command) and state (delivered, failed, gone).
	Deliveries *prometheus.HistogramVec
}

// NewMetrics makes a registry with the server's own metrics, and those of Go and the process.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tinydev_http_request_seconds", Help: "Time from a request's header to the end of its answer, streams of events left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"method", "route", "status"}),
		InFlight:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "tinydev_http_requests_in_flight", Help: "Requests being answered, streams among them."}),
		UploadBytes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "tinydev_upload_bytes_total", Help: "Bytes of files taken in."}),
		StreamEvents: prometheus.NewCounter(prometheus.CounterOpts{Name: "tinydev_stream_events_total", Help: "Events sent over streams."}),
	}
	m.Events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tinydev_events_total", Help: "Events that reached this server, by type."}, []string{"type"})
	m.RelayLag = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "tinydev_relay_lag_seconds", Help: "Time from an event's occurring to its reaching this server's subscribers.",
		Buckets: []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
	})
	m.Deliveries = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tinydev_delivery_attempt_seconds", Help: "Time of an attempt to deliver an event to a subscription, by kind and how it ended.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"kind", "state"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tinydev_build_info", Help: "1, with the version as a label.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.Registry.MustRegister(m.Requests, m.InFlight, m.UploadBytes, m.StreamEvents, m.Events, m.RelayLag, m.Deliveries, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Relay is what the metrics ask a relay.
type Relay interface {
	Head() int64
	Placed() int64
	Subscribers() int
	Ready() bool
}

// WatchRelay adds the metrics of a relay.
func (m *Metrics) WatchRelay(r Relay) {
	gauge := func(name, help string, value func() float64) {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("tinydev_event_head_position", "Position of the newest event seen.", func() float64 { return float64(r.Head()) })
	gauge("tinydev_stream_subscribers", "Open subscriptions.", func() float64 { return float64(r.Subscribers()) })
	gauge("tinydev_relay_ready", "1 while events are placed and read.", func() float64 {
		if r.Ready() {
			return 1
		}
		return 0
	})
	m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tinydev_events_placed_total", Help: "Events that this server placed in the log."},
		func() float64 { return float64(r.Placed()) }))
}

// Pool is the state of a connection pool.
type Pool struct{ Used, Idle, Max int32 }

// WatchPool adds the metrics of the server's own pool.
func (m *Metrics) WatchPool(stat func() Pool) {
	for _, g := range []struct {
		state string
		value func(Pool) int32
	}{
		{"used", func(p Pool) int32 { return p.Used }},
		{"idle", func(p Pool) int32 { return p.Idle }},
		{"max", func(p Pool) int32 { return p.Max }},
	} {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tinydev_pool_connections", Help: "Connections of the server's own pool, by state; max is their limit.", ConstLabels: prometheus.Labels{"state": g.state},
		}, func() float64 { return float64(g.value(stat())) }))
	}
}

// Sessions is the state of the sessions of users.
type Sessions struct{ Open, Idle, Waiting, Max int }

// WatchSessions adds the metrics of the sessions of users.
func (m *Metrics) WatchSessions(stat func() Sessions) {
	for _, g := range []struct {
		state string
		value func(Sessions) int
	}{
		{"used", func(s Sessions) int { return s.Open - s.Idle }},
		{"idle", func(s Sessions) int { return s.Idle }},
		{"max", func(s Sessions) int { return s.Max }},
	} {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tinydev_sessions", Help: "Connections as users, by state; max is their limit.", ConstLabels: prometheus.Labels{"state": g.state},
		}, func() float64 { return float64(g.value(stat())) }))
	}
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tinydev_sessions_waiting", Help: "Requests that wait for a session."},
		func() float64 { return float64(stat().Waiting) }))
}

// WatchDeliverer adds the number of subscriptions that this server delivers.
func (m *Metrics) WatchDeliverer(held func() int) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tinydev_subscriptions_held", Help: "Subscriptions that this server delivers."},
		func() float64 { return float64(held()) }))
}
