package server

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// How often the server looks at runs and jobs, and how long that may take.
const (
	watchRunsEvery = time.Second      // time-outs, lost sessions, runs besides the schedule
	watchJobsEvery = 5 * time.Second  // what is due next and what was missed
	reconcileEvery = 15 * time.Second // pg_cron's own record beside ours
	watchPatience  = 10 * time.Second
	madeUpAtOnce   = 8
	claimPause     = 50 * time.Millisecond // anybody may send a notification
)

// watchSchedules holds runs to their time-outs, tells of those that were lost or missed, and makes the runs that are asked for besides the
// schedule, until ctx ends. A system job looks after the same each minute where no server runs, but for the last.
func (s *server) watchSchedules(ctx context.Context) {
	var making sync.WaitGroup
	defer making.Wait()
	places := make(chan struct{}, madeUpAtOnce)
	go every(ctx, watchJobsEvery, func(ctx context.Context) {
		s.look(ctx, watchPatience, "jobs", "select case when tinydev_impl.watch_jobs() >= 0 then '' end", "")
	})
	go every(ctx, reconcileEvery, func(ctx context.Context) {
		s.look(ctx, watchPatience, "runs of pg_cron that were not recorded", "select tinydev_impl.reconcile_runs()::text", "0")
	})
	go every(ctx, watchRunsEvery, func(ctx context.Context) {
		s.look(ctx, watchPatience, "runs that took too long, or lost their session", "select tinydev_impl.watch_runs()::text", "{}")
	})
	ended := make(chan struct{}, 1) // a run ended, after which others may be waiting
	tick := time.NewTicker(watchRunsEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.makeUp(ctx, places, ended, &making)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-ended:
		case <-s.relay.Asked():
			time.Sleep(claimPause)
		}
	}
}

// makeUp makes the runs that are asked for, as many at once as places holds.
func (s *server) makeUp(ctx context.Context, places, ended chan struct{}, making *sync.WaitGroup) {
	free := cap(places) - len(places)
	if free == 0 {
		return
	}
	look, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	rows, err := s.pool.Query(look, "select job_id, owner, cause from tinydev_impl.claim_runs($1)", free)
	var jobID int64
	var owner, cause string
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&jobID, &owner, &cause}, func() error {
			s.makeOne(ctx, jobID, owner, cause, places, ended, making)
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("runs that are asked for were not made", observe.KeyError, err)
	}
}

// makeOne makes one run in a session of its owner, and does not wait for its end, which ended hears of.
func (s *server) makeOne(ctx context.Context, jobID int64, owner, cause string, places, ended chan struct{}, making *sync.WaitGroup) {
	places <- struct{}{}
	making.Go(func() {
		defer func() {
			<-places
			select {
			case ended <- struct{}{}:
			default:
			}
		}()
		// Its failure is an event and a run of its own.
		if err := s.verbs.As(owner).MakeUp(ctx, jobID, cause); err != nil {
			s.log.Info("a run besides the schedule failed", "job_id", jobID, "cause", cause, observe.KeyError, err)
		}
	})
}
