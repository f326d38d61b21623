package server

import (
	"context"
	"sync"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// How often the server looks at runs and jobs, and how long that may take.
const (
	watchRunsEvery = time.Second      // time-outs, lost sessions, runs besides the schedule
	watchJobsEvery = 5 * time.Second  // what is due next and what was missed
	reconcileEvery = 15 * time.Second // pg_cron's own record beside ours
	watchPatience  = 10 * time.Second
	madeUpAtOnce   = 8
)

// watchSchedules holds runs to their time-outs, tells of those that were lost or missed, and makes the runs that are asked for besides the
// schedule, until ctx ends. A system job looks after the same each minute where no server runs, but for the last.
func (s *server) watchSchedules(ctx context.Context) {
	var making sync.WaitGroup
	defer making.Wait()
	places := make(chan struct{}, madeUpAtOnce)
	ticker := time.NewTicker(watchRunsEvery)
	defer ticker.Stop()
	for turn := time.Duration(0); ; turn += watchRunsEvery {
		s.watch(ctx, "runs", "select tinydev_impl.watch_runs()::text", "{}")
		if turn%watchJobsEvery == 0 {
			s.watch(ctx, "jobs", "select case when tinydev_impl.watch_jobs() >= 0 then '' end", "")
		}
		if turn%reconcileEvery == 0 {
			s.watch(ctx, "pg_cron's runs", "select tinydev_impl.reconcile_runs()::text", "0")
		}
		s.makeUp(ctx, places, &making)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watch runs a query that answers nothing when all is well.
func (s *server) watch(ctx context.Context, what, query, nothing string) {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	var found string
	if err := s.pool.QueryRow(ctx, query).Scan(&found); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("not looked at: "+what, observe.KeyError, err)
		}
		return
	}
	if found != nothing {
		s.log.Warn("ended, lost or not recorded: "+what, "found", found)
	}
}

// makeUp makes the runs that are asked for, as many at once as places holds.
func (s *server) makeUp(ctx context.Context, places chan struct{}, making *sync.WaitGroup) {
	free := cap(places) - len(places)
	if free == 0 {
		return
	}
	look, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	rows, err := s.pool.Query(look, "select job_id, owner, cause from tinydev_impl.claim_runs($1)", free)
	if err != nil {
		return // told by watch
	}
	defer rows.Close()
	for rows.Next() {
		var jobID int64
		var owner, cause string
		if err := rows.Scan(&jobID, &owner, &cause); err != nil {
			s.log.Error("read a run that is asked for", observe.KeyError, err)
			return
		}
		places <- struct{}{}
		making.Go(func() {
			defer func() { <-places }()
			// Its failure is an event and a run of its own.
			if err := s.verbs.As(owner).MakeUp(ctx, jobID, cause); err != nil {
				s.log.Info("a run besides the schedule failed", "job_id", jobID, "cause", cause, observe.KeyError, err)
			}
		})
	}
}
