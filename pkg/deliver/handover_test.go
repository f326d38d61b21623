package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestHandsOver has a server stop in order, again and again: the other one goes on at once.
func TestHandsOver(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	rc := newReceiver(t)
	stays := startEngine(t, db, nil)
	for i := range 12 {
		hook(t, ann, fmt.Sprintf("hook%d", i), rc.URL, "")
	}
	for range 10 {
		other := startEngine(t, db, nil)
		pgtest.Eventually(t, 10*time.Second, "both have half", func() bool { return stays.Held() == 6 && other.Held() == 6 })
		began := time.Now()
		other.stop()
		pgtest.Eventually(t, 10*time.Second, "the one that stays has all", func() bool { return stays.Held() == 12 })
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
	}
}
