package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestSpans(t *testing.T) {
	for text, want := range map[string]int{"30s": 30, "5m": 300, "1h30m": 5400, "7d": 604800, "0": 0, "0s": 0, "90": 90, " 2m ": 120, "1.5m": 90} {
		if got, err := spanSeconds("retry", text); err != nil || got != want {
			t.Errorf("%q is %d (%v), not %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "s", "d", "-1", "-5m", "-1d", "1.5s", "100ms", "soon", "5 m", "99999999999", "9999999h", "1e3"} {
		if got, err := spanSeconds("retry", bad); fault.CodeOf(err) != "usage" {
			t.Errorf("%q is taken for %d", bad, got)
		}
	}
	for seconds, want := range map[int]string{0: "0s", 5: "5s", 60: "1m", 90: "90s", 3600: "1h", 5400: "90m", 86400: "1d", 43200: "12h"} {
		if got := shortSpan(seconds); got != want {
			t.Errorf("%d seconds are %q, not %q", seconds, got, want)
		} else if back, err := spanSeconds("x", got); err != nil || back != seconds {
			t.Errorf("%q is read as %d %v", got, back, err)
		}
	}
}

// TestSubscriptionFlags holds what flags say to what is sent.
func TestSubscriptionFlags(t *testing.T) {
	parse := func(args []string, options string) (kind, target string, c control.SubscriptionChange, err error) {
		var f subscriptionFlags
		cmd := &cobra.Command{}
		f.add(cmd)
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if kind, target, err = f.target(cmd); err == nil {
			c, err = f.change(cmd, json.RawMessage(options))
		}
		return kind, target, c, err
	}
	kind, target, c, err := parse([]string{"--email", "a@example.org", "--email", "b@example.org", "--type", "view.*", "--type", "table.loaded", "--subject", "a,b", "--condition", "$.rows > 0", "--attach", "v", "--attach-rows", "5",
		"--rearm", "30m", "--digest", "5m", "--timeout", "20", "--retry", "5s, 30s,2m", "--pause-after", "7d", "--mail-subject", "S", "--chart", "bar"}, "")
	if err != nil || kind != "email" || target != "a@example.org, b@example.org" {
		t.Errorf("%s %s %v", kind, target, err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"types":["view.*","table.loaded"],"subjects":["a,b"],"condition":"$.rows \u003e 0","attach":"v","attach_rows":5,"options":{"chart":"bar","subject":"S"},` +
		`"rearm":"every","rearm_seconds":1800,"digest_seconds":300,"timeout_seconds":20,"retry_seconds":[5,30,120],"pause_after_seconds":604800}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	for args, want := range map[string]string{
		`[]`:                               `{}`,
		`["--type",""]`:                    `{"types":[]}`,
		`["--retry","none"]`:               `{"retry_seconds":[]}`,
		`["--rearm","once"]`:               `{"rearm":"once"}`,
		`["--condition","","--attach",""]`: `{"condition":"","attach":""}`,
		`["--mail-subject",""]`:            `{"options":{"body":"B"}}`,
		`["--mail-body","C","--chart",""]`: `{"options":{"body":"C","subject":"S"}}`,
	} {
		var list []string
		if err := json.Unmarshal([]byte(args), &list); err != nil {
			t.Fatal(err)
		}
		_, _, c, err := parse(list, `{"subject":"S","body":"B"}`)
		text, _ := json.Marshal(c)
		if err != nil || string(text) != want {
			t.Errorf("%s: %s %v, want %s", args, text, err, want)
		}
	}
	if _, _, c, _ := parse(nil, ""); !reflect.DeepEqual(c, control.SubscriptionChange{}) {
		t.Errorf("no flags say %+v", c)
	}
	for _, bad := range [][]string{{"--webhook", "https://example.org/", "--command", "x"}, {"--rearm", "twice"}, {"--retry", "5s,,2m"}, {"--retry", ""}, {"--digest", "soon"}, {"--timeout", "1.5s"}} {
		if _, _, c, err := parse(bad, ""); fault.CodeOf(err) != "usage" {
			t.Errorf("%q is taken for %+v", bad, c)
		}
	}
}
