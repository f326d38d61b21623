package server

import (
	"context"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// limitsEvery is how often users are held to their limits, and limitsPatience how long that may take.
const (
	limitsEvery    = 15 * time.Second
	limitsPatience = 10 * time.Second
)

// watchLimits ends what users may not go on with, until ctx ends: on the server's own connections, since a user can lift all that
// holds in a session of its own. A system job does the same each minute where no server runs.
func (s *server) watchLimits(ctx context.Context) {
	ticker := time.NewTicker(limitsEvery)
	defer ticker.Stop()
	for {
		s.enforceLimits(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *server) enforceLimits(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, limitsPatience)
	defer cancel()
	var ended string
	err := s.pool.QueryRow(ctx, "select tinydev_impl.enforce_limits()::text").Scan(&ended)
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Warn("the limits of users were not enforced", observe.KeyError, err)
	case err == nil && ended != "{}":
		s.log.Warn("ended what is over a limit", "ended", ended)
	}
}
