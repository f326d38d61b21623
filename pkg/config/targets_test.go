package config_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestTargets(t *testing.T) {
	clean(t)
	t.Setenv("TINYDEV_WEBHOOK_ALLOW", "127.0.0.1/32, 10.1.0.0/16,192.168.1.5,fd00::/8,::1")
	t.Setenv("TINYDEV_COMMANDS", ` {"notify":["/usr/local/bin/notify","--all","$(id)"], "mirror-2":{"argv":["/opt/mirror"],"users":["ann","everyone"],"timeout_seconds":30}} `)
	t.Setenv("TINYDEV_EVENT_ID", "7") // as in a program that is run, which may call tinydev
	t.Setenv("TINYDEV_EVENT_TYPE", "tinydev.view.refreshed")
	t.Setenv("TINYDEV_EVENT_SUBJECT", "ann.friends")
	t.Setenv("TINYDEV_ATTEMPT", "1")
	t.Setenv("TINYDEV_SUBSCRIPTION", "ann.hook")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.168.1.5/32"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("::1/128")}
	if !slices.Equal(c.WebhookAllow, want) {
		t.Errorf("%v", c.WebhookAllow)
	}
	notify, mirror := c.Commands["notify"], c.Commands["mirror-2"]
	if len(c.Commands) != 2 || !slices.Equal(notify.Argv, []string{"/usr/local/bin/notify", "--all", "$(id)"}) || notify.Users != nil || notify.TimeoutSeconds != 0 ||
		!slices.Equal(mirror.Argv, []string{"/opt/mirror"}) || !slices.Equal(mirror.Users, []string{"ann", config.Everyone}) || mirror.TimeoutSeconds != 30 {
		t.Errorf("%+v", c.Commands)
	}
	// What is printed can be set again.
	shown := map[string]string{"TINYDEV_WEBHOOK_ALLOW": "127.0.0.1/32,10.1.0.0/16,192.168.1.5/32,fd00::/8,::1/128",
		"TINYDEV_COMMANDS": `{"mirror-2":{"argv":["/opt/mirror"],"users":["ann","everyone"],"timeout_seconds":30},"notify":{"argv":["/usr/local/bin/notify","--all","$(id)"]}}`}
	for _, e := range c.Entries() {
		if text, ok := shown[e.Name]; ok && (e.Value != text || e.Source != config.Environment) {
			t.Errorf("%s is %s %s", e.Name, e.Value, e.Source)
		}
	}
	again, err := config.LoadWith(shown)
	if err != nil || again.Commands.String() != shown["TINYDEV_COMMANDS"] || again.WebhookAllow.String() != shown["TINYDEV_WEBHOOK_ALLOW"] {
		t.Errorf("%v, %v, %v", again.Commands, again.WebhookAllow, err)
	}
	t.Setenv("TINYDEV_WEBHOOK_ALLOW", "")
	t.Setenv("TINYDEV_COMMANDS", "")
	if c, err := config.Load(); err != nil || c.WebhookAllow.String() != "" || c.Commands.String() != "" || c.IsSet("TINYDEV_COMMANDS") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestTargetFaults(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{"TINYDEV_WEBHOOK_ALLOW", "localhost", "such as 127.0.0.1/32"},
		{"TINYDEV_WEBHOOK_ALLOW", "127.0.0.1/33", "such as 127.0.0.1/32"},
		{"TINYDEV_WEBHOOK_ALLOW", "127.0.0.1/32,", "such as 127.0.0.1/32"},
		{"TINYDEV_WEBHOOK_ALLOW", "fe80::1%eth0", "such as 127.0.0.1/32"},
		{"TINYDEV_WEBHOOK_ALLOW", "10.1.2.3/16", "write 10.1.0.0/16, or 10.1.2.3/32 for the one address"},
		{"TINYDEV_WEBHOOK_ALLOW", "::ffff:10.1.0.0/112", "IPv4 network"},
		{"TINYDEV_WEBHOOK_ALLOW", "::ffff:127.0.0.1", "IPv4 network"},
		{"TINYDEV_COMMANDS", "/usr/bin/notify", "write JSON such as"},
		{"TINYDEV_COMMANDS", `["/usr/bin/notify"]`, "write JSON such as"},
		{"TINYDEV_COMMANDS", `{"notify":"/usr/bin/notify"}`, "write JSON such as"},
		{"TINYDEV_COMMANDS", `{"notify":["/usr/bin/notify"]} {}`, "something after"},
		{"TINYDEV_COMMANDS", `{"notify":{"argv":["/usr/bin/notify"],"shell":true}}`, `unknown field "shell"`},
		{"TINYDEV_COMMANDS", `{"notify":["notify"]}`, "absolute path"},
		{"TINYDEV_COMMANDS", `{"notify":["./notify"]}`, "absolute path"},
		{"TINYDEV_COMMANDS", `{"notify":[]}`, "needs a program"},
		{"TINYDEV_COMMANDS", `{"notify":null}`, "needs a program"},
		{"TINYDEV_COMMANDS", `{"notify":{"users":["ann"]}}`, "needs a program"},
		{"TINYDEV_COMMANDS", `{"notify":["/usr/bin/notify","a\u0000b"]}`, "NUL"},
		{"TINYDEV_COMMANDS", `{"Notify":["/usr/bin/notify"]}`, "a-z"},
		{"TINYDEV_COMMANDS", `{"notify me":["/usr/bin/notify"]}`, "a-z"},
		{"TINYDEV_COMMANDS", `{"":["/usr/bin/notify"]}`, "a-z"},
		{"TINYDEV_COMMANDS", `{"` + strings.Repeat("n", 64) + `":["/usr/bin/notify"]}`, "a-z"},
		{"TINYDEV_COMMANDS", `{"notify":{"argv":["/usr/bin/notify"],"users":["Ann Smith"]}}`, "everyone"},
		{"TINYDEV_COMMANDS", `{"notify":{"argv":["/usr/bin/notify"],"timeout_seconds":-1}}`, "1 to 3600"},
		{"TINYDEV_COMMANDS", `{"notify":{"argv":["/usr/bin/notify"],"timeout_seconds":3601}}`, "1 to 3600"},
		{"TINYDEV_COMMANDS", `{"notify":{"argv":["/usr/bin/notify"],"timeout_seconds":"30"}}`, "timeout_seconds"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			clean(t)
			t.Setenv(c.name, c.value)
			_, err := config.Load()
			f := fault.As(err)
			if f == nil || f.Code != "config_invalid" || f.Kind != fault.Invalid || f.Fields["variable"] != c.name || !strings.Contains(f.Hint, c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
