package observe_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := observe.NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", observe.KeyUser, "ann")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil || record["msg"] != "loud" || record["user"] != "ann" {
		t.Errorf("%s %v", out.String(), err)
	}
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := observe.NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

type quietRelay struct{}

func (quietRelay) Head() int64      { return 7 }
func (quietRelay) Placed() int64    { return 5 }
func (quietRelay) Subscribers() int { return 3 }
func (quietRelay) Ready() bool      { return true }

// The names of metrics are part of what users build dashboards and alerts on.
func TestMetricNamesGolden(t *testing.T) {
	m := observe.NewMetrics("v1")
	m.WatchRelay(quietRelay{})
	m.WatchPool(func() observe.Pool { return observe.Pool{Used: 1, Idle: 2, Max: 12} })
	m.WatchSessions(func() observe.Sessions { return observe.Sessions{Open: 3, Idle: 1, Waiting: 4, Max: 32} })
	m.Requests.WithLabelValues("GET", "/v1/tables", "200").Observe(.01)
	m.Events.WithLabelValues("view.refreshed").Inc()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tinydev_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		lines = append(lines, fmt.Sprintf("%s %s {%s} %s", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ","), f.GetHelp()))
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics changed; make golden rewrites this:\n%s", got)
	}
}
