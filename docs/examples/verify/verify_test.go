package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What a program says of a request that it does not trust.
const (
	badSecret    = "the secret is none"
	badTime      = "the timestamp is missing, or more than five minutes away"
	badSignature = "no signature is by this secret"
)

// newSecret makes a secret of some bytes.
func newSecret(size int) string {
	key := make([]byte, size)
	_, _ = rand.Read(key)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// sign signs with the official library.
func sign(t *testing.T, secret, id string, at time.Time, body string) string {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// request writes what the programs read.
func request(newline, id string, at time.Time, signatures, body string) string {
	return strings.Join([]string{"Host: example.org", "Content-Type: application/cloudevents+json; charset=utf-8", "Webhook-Id: " + id,
		fmt.Sprintf("Webhook-Timestamp: %d", at.Unix()), "Webhook-Signature: " + signatures, "", body}, newline)
}

// programs gives the command of each language. What is missing fails the test.
func programs(t *testing.T) map[string][]string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "verify")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for program, install := range map[string]string{"python3": "python3", "node": "nodejs", "openssl": "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the examples cannot be run without %s: apt-get install %s", program, install)
		}
	}
	return map[string][]string{"go": {binary}, "python": {"python3", "../verify.py"}, "javascript": {"node", "../verify.mjs"}, "shell": {"sh", "../verify.sh"}}
}

// TestExamples has requests that the official library signed verified by the example of each language.
func TestExamples(t *testing.T) {
	t.Parallel()
	const event = `{"specversion":"1.0","id":"42","type":"tinydev.view.refreshed","subject":"ann.bdays_today","data":{"rows":3,"name":"Zoë 100% \\n"}}`
	secret, other := newSecret(32), newSecret(32)
	now := time.Now()
	one := func(secret string, at time.Time) string { return sign(t, secret, "42", at, event) }
	cases := []struct {
		name, secret, request, reason string
	}{
		{"good", secret, request("\n", "42", now, one(secret, now), event), ""},
		{"good, as HTTP has it", secret, request("\r\n", "42", now, one(secret, now), event), ""},
		{"four minutes old", secret, request("\n", "42", now.Add(-4*time.Minute), one(secret, now.Add(-4*time.Minute)), event), ""},
		{"the new secret while it is rotated", secret, request("\n", "42", now, one(secret, now)+" "+one(other, now), event), ""},
		{"the old secret while it is rotated", secret, request("\n", "42", now, one(other, now)+" "+one(secret, now), event), ""},
		{"a version that is not known, too", secret, request("\n", "42", now, "v1a,"+one(other, now)[3:]+" "+one(secret, now), event), ""},
		{"an empty body", secret, request("\n", "42", now, sign(t, secret, "42", now, ""), ""), ""},
		{"a body that ends with lines", secret, request("\n", "42", now, sign(t, secret, "42", now, "\n\n{}\n\n"), "\n\n{}\n\n"), ""},
		{"bytes that are no text", secret, request("\n", "42", now, sign(t, secret, "42", now, "\x00\xff\r\n"), "\x00\xff\r\n"), ""},
		{"a large body", secret, request("\n", "42", now, sign(t, secret, "42", now, strings.Repeat(event, 4000)), strings.Repeat(event, 4000)), ""},
		{"another body", secret, request("\n", "42", now, one(secret, now), strings.Replace(event, "3", "4", 1)), badSignature},
		{"a body with more at its end", secret, request("\n", "42", now, one(secret, now), event+"\n"), badSignature},
		{"another id", secret, request("\n", "43", now, one(secret, now), event), badSignature},
		{"another time", secret, request("\n", "42", now.Add(-time.Second), one(secret, now), event), badSignature},
		{"another secret", other, request("\n", "42", now, one(secret, now), event), badSignature},
		{"another version", secret, request("\n", "42", now, "v2,"+one(secret, now)[3:], event), badSignature},
		{"half a signature", secret, request("\n", "42", now, one(secret, now)[:20], event), badSignature},
		{"no signature", secret, request("\n", "42", now, "", event), badSignature},
		{"a signature that is no ASCII", secret, request("\n", "42", now, "v1,ä* "+one(other, now), event), badSignature},
		{"six minutes old", secret, request("\n", "42", now.Add(-6*time.Minute), one(secret, now.Add(-6*time.Minute)), event), badTime},
		{"six minutes early", secret, request("\n", "42", now.Add(6*time.Minute), one(secret, now.Add(6*time.Minute)), event), badTime},
		{"a time that is none", secret, strings.Replace(request("\n", "42", now, one(secret, now), event), "Webhook-Timestamp: ", "Webhook-Timestamp: x", 1), badTime},
		{"a time far away", secret, strings.Replace(request("\n", "42", now, one(secret, now), event), "Webhook-Timestamp: ", "Webhook-Timestamp: 99999999999", 1), badTime},
		{"no time", secret, strings.Replace(request("\n", "42", now, one(secret, now), event), "Webhook-Timestamp", "Webhook-Time", 1), badTime},
		{"nothing", secret, "\n", badTime},
		{"no secret", "", request("\n", "42", now, one(secret, now), event), badSecret},
		{"a secret that is too short", newSecret(8), request("\n", "42", now, one(secret, now), event), badSecret},
	}
	for _, size := range []int{24, 25, 64} {
		key := newSecret(size)
		cases = append(cases, struct{ name, secret, request, reason string }{fmt.Sprintf("a secret of %d bytes", size), key, request("\n", "42", now, one(key, now), event), ""})
	}
	for language, command := range programs(t) {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				run := exec.Command(command[0], command[1:]...)
				run.Env = append(run.Environ(), "WEBHOOK_SECRET="+c.secret)
				run.Stdin = strings.NewReader(c.request)
				var said bytes.Buffer
				run.Stdout, run.Stderr = &said, &said
				code := 0
				var exit *exec.ExitError
				if err := run.Run(); errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					t.Fatal(err)
				}
				want := 0
				if c.reason != "" {
					want = 1
				}
				if got := strings.TrimSpace(said.String()); code != want || got != c.reason {
					t.Errorf("%s: exit code %d, %q; want %d, %q", c.name, code, got, want, c.reason)
				}
			}
		})
	}
}
