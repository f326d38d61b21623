package server

import (
	"context"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// freshnessEvery is how often the promises of freshness are checked, freshnessPatience how long that may take, and freshnessRows how
// many are judged in one transaction.
const (
	freshnessEvery    = 5 * time.Second
	freshnessPatience = 30 * time.Second
	freshnessRows     = 1000
)

// checkFreshness records what became stale or fresh again. Other servers, and a system job each minute, do the same.
func (s *server) checkFreshness(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, freshnessPatience)
	defer cancel()
	for due := freshnessRows; due == freshnessRows; {
		if err := s.pool.QueryRow(ctx, "select tinydev_impl.check_freshness($1)", freshnessRows).Scan(&due); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("the promises of freshness were not checked", observe.KeyError, err)
			}
			return
		}
	}
}
