// Command verify tells whether a webhook of TinyDevCRM is genuine. It reads the request, headers, an empty line and the body, and ends
// with 0, or with 1 and the reason. In a server, verify is all that is needed.
//
//	WEBHOOK_SECRET=whsec_… go run ./docs/examples/verify <request
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(request io.Reader) error {
	reader := bufio.NewReader(request)
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("read the headers: %w", err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	return verify(os.Getenv("WEBHOOK_SECRET"), http.Header(header), body)
}

// verify says why a request is not to be trusted. The body is what came, byte for byte, not what a parser made of it.
func verify(secret string, header http.Header, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 {
		return errors.New("the secret is none")
	}
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return errors.New("the timestamp is missing, or more than five minutes away")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, signature := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), want) {
			return nil
		}
	}
	return errors.New("no signature is by this secret")
}
