package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestMail(t *testing.T) {
	clean(t)
	const from = "TinyDevCRM <noreply@example.org>"
	for _, good := range []struct {
		url  string
		want config.SMTP
	}{
		{"smtp://ann:p%40ss%2Fword@mail.example.org", config.SMTP{Host: "mail.example.org", Port: 587, TLS: config.TLSStart, User: "ann", Password: "p@ss/word"}},
		{"smtp://ann@corp.example:x@mail.example.org:2525/", config.SMTP{Host: "mail.example.org", Port: 2525, TLS: config.TLSStart, User: "ann@corp.example", Password: "x"}},
		{"smtp://mail.example.org:25?tls=none", config.SMTP{Host: "mail.example.org", Port: 25, TLS: config.TLSNone}},
		{"smtp://127.0.0.1:25", config.SMTP{Host: "127.0.0.1", Port: 25, TLS: config.TLSNone}},
		{"smtp://ann:x@[::1]:25", config.SMTP{Host: "::1", Port: 25, TLS: config.TLSNone, User: "ann", Password: "x"}},
		{"smtp://localhost?tls=starttls", config.SMTP{Host: "localhost", Port: 587, TLS: config.TLSStart}},
		{"smtps://ann:x@mail.example.org", config.SMTP{Host: "mail.example.org", Port: 465, TLS: config.TLSFirst, User: "ann", Password: "x"}},
	} {
		got, err := config.ParseSMTP(good.url)
		if err != nil || got != good.want {
			t.Errorf("%s: %+v %v", good.url, got, err)
		}
		if _, err := config.LoadWith(map[string]string{"TINYDEV_SMTP_URL": good.url, "TINYDEV_SMTP_FROM": from}); err != nil {
			t.Error(err)
		}
	}
	const secret = "hunter2"
	for _, bad := range []struct{ url, from, blamed, says string }{
		{"mail.example.org:587", from, "TINYDEV_SMTP_URL", "smtp://"},
		{"https://ann:" + secret + "@mail.example.org", from, "TINYDEV_SMTP_URL", "smtp://"},
		{"smtp://:587", from, "TINYDEV_SMTP_URL", "smtp://"},
		{"smtp://ann:" + secret + "@mail.example.org/box", from, "TINYDEV_SMTP_URL", "smtp://"},
		{"smtp://ann:" + secret + "/x@mail.example.org", from, "TINYDEV_SMTP_URL", "%40"},
		{"smtp://" + secret + "@mail.example.org", from, "TINYDEV_SMTP_URL", "both"},
		{"smtp://mail.example.org:0", from, "TINYDEV_SMTP_URL", "65535"},
		{"smtp://mail.example.org?tls=maybe", from, "TINYDEV_SMTP_URL", "tls=none"},
		{"smtp://mail.example.org?verify=no", from, "TINYDEV_SMTP_URL", "one option"},
		{"smtps://mail.example.org?tls=none", from, "TINYDEV_SMTP_URL", "encrypted from the start"},
		{"smtp://ann:" + secret + "@mail.example.org?tls=none", from, "TINYDEV_SMTP_URL", "in the clear"},
		{"smtp://mail.example.org", "", "TINYDEV_SMTP_FROM", "noreply@"},
		{"", from, "TINYDEV_SMTP_URL", "smtp://"},
		{"smtp://mail.example.org", "noreply", "TINYDEV_SMTP_FROM", "noreply@"},
		{"smtp://mail.example.org", "a@example.org, b@example.org", "TINYDEV_SMTP_FROM", "noreply@"},
		{"smtp://mail.example.org", "A\r\nBcc: eve@example.org <a@example.org>", "TINYDEV_SMTP_FROM", "noreply@"},
	} {
		_, err := config.LoadWith(map[string]string{"TINYDEV_SMTP_URL": bad.url, "TINYDEV_SMTP_FROM": bad.from})
		f := fault.As(err)
		if f == nil || f.Code != "config_invalid" || f.Fields["variable"] != bad.blamed || !strings.Contains(f.Hint, bad.says) {
			t.Errorf("%s %s: %v", bad.url, bad.from, err)
		}
		if f != nil && strings.Contains(fmt.Sprint(f.Error(), f.Fields, f.Cause), secret) {
			t.Errorf("%s shows the password: %v", bad.url, err)
		}
	}
	if s := config.Secret("smtp://ann:x@mail.example.org:587?tls=starttls").String(); s != "smtp://xxxxx@mail.example.org:587?tls=starttls" {
		t.Errorf("nothing is left to see: %s", s)
	}
}
