package deliver_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
)

// fast is a receiver that does as little as it can.
func fast(b *testing.B) string {
	b.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(receiver.Close)
	return receiver.URL
}

const postsAtOnce = 16 // for each core

// BenchmarkWebhook is to be compared with BenchmarkBareSignedPost.
func BenchmarkWebhook(b *testing.B) {
	w := deliver.NewWebhook(networks("127.0.0.1/32"), "TinyDevCRM/bench")
	b.Cleanup(w.Close)
	s, e := subscription(fast(b)), event(1)
	b.ReportAllocs()
	b.SetParallelism(postsAtOnce)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if o := w.Send(b.Context(), s, e); o.State != deliver.Delivered {
				b.Errorf("%+v", o)
			}
		}
	})
}

// BenchmarkBareSignedPost posts the same by http.Client alone.
func BenchmarkBareSignedPost(b *testing.B) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	b.Cleanup(client.CloseIdleConnections)
	target, body := fast(b), event(1)[0].JSON
	signer, err := standardwebhooks.NewWebhook(newSecret)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(postsAtOnce)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now()
			signature, err := signer.Sign("1", now, body)
			if err != nil {
				b.Error(err)
				return
			}
			request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, target, bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
			request.Header.Set("Webhook-Id", "1")
			request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
			request.Header.Set("Webhook-Signature", signature)
			answer, err := client.Do(request)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
	})
}
