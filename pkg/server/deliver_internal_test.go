package server

import (
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
)

func TestLinksThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{"http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost:8080": true, "https://crm.example.org": false, "http://10.0.0.1:80": false} {
		s := &server{cfg: config.Config{PublicURL: url}}
		if got := s.isLocal(); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}
