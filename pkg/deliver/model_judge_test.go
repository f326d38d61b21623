package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// judge compares what came with what was promised.
func (m *model) judge() {
	rows, err := m.super.Query(context.Background(), `select position, (data ->> 'n')::int from tinydev_impl.event where type like 'test.%'`)
	if err != nil {
		m.t.Fatal(err)
	}
	byNumber, byPosition := map[int]*modelEvent{}, map[int64]*modelEvent{}
	for _, e := range m.events {
		byNumber[e.n] = e
	}
	var position int64
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&position, &n}, func() error {
		if e := byNumber[n]; e != nil {
			e.position, byPosition[position] = position, e
		} else {
			m.errorf("event %d is in the log and was rolled back", n)
		}
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
	slices.SortFunc(m.events, func(a, b *modelEvent) int { return int(a.position - b.position) })
	for _, s := range m.targets {
		m.judgeTarget(s, byPosition)
	}
}

// sees reports whether a user sees an event.
func (m *model) sees(user string, e *modelEvent) bool {
	return e.owner == user || user == pgtest.Bob && e.subject == `"Ann".shared`
}

func (m *model) judgeTarget(s *target, byPosition map[int64]*modelEvent) {
	before := m.failures.Load()
	defer func() {
		if m.failures.Load() > before {
			m.t.Logf("%s:\n%s", s.name, strings.Join(s.history, "\n"))
		}
	}()
	must, may, ordered := map[int64]bool{}, map[int64]bool{}, map[int64]bool{}
	for _, e := range m.events {
		if !m.sees(s.owner, e) || e.position <= s.from {
			continue
		}
		since, was := e.versions[s]
		var fits []bool
		for _, f := range s.filters[since:] {
			fits = append(fits, f.fits(e))
		}
		must[e.position] = was && e.position > s.born && !slices.Contains(fits, false)
		may[e.position] = slices.Contains(fits, true)
		ordered[e.position] = must[e.position]
		// A filter that was just replaced has its last moment, until the server has learnt of it. What only the new one lets through comes,
		// but perhaps after what came later.
		for i := since; i > 0 && e.committed.Sub(s.changes[i]) < modelMoment; i-- {
			fits := s.filters[i-1].fits(e)
			may[e.position] = may[e.position] || fits
			ordered[e.position] = ordered[e.position] && fits
		}
	}
	accepted := map[int64]int{} // by position
	requests := map[int64]int{}
	var order []int64 // of first acceptances
	var slowest time.Duration
	for _, a := range s.arrivals {
		e := byPosition[a.position]
		if e == nil || e.n != a.n {
			m.errorf("%s got event %d at %d, which is none: %+v", s.name, a.n, a.position, e)
			continue
		}
		if !may[a.position] {
			m.errorf("%s got event %d at %d, which it should not: %s", s.name, a.n, a.position, m.story(s, e))
			continue
		}
		requests[a.position]++
		slowest = max(slowest, a.at.Sub(e.committed))
		if !a.accepted {
			continue
		}
		if accepted[a.position]++; accepted[a.position] == 1 {
			order = append(order, a.position)
		}
	}
	for position, owed := range must {
		if owed && accepted[position] == 0 {
			m.errorf("%s never got %s", s.name, m.story(s, byPosition[position]))
		}
	}
	m.judgeOrder(s, order, ordered, byPosition)
	m.judgeCounts(s, accepted, requests, byPosition)
	if m.calm && !s.repeated {
		for position, n := range accepted {
			if n != 1 {
				m.errorf("%s accepted the event at %d %d times, and nothing went wrong", s.name, position, n)
			}
		}
	}
	if m.calm && s.untouched {
		m.t.Logf("the healthy target got each of %d events within %v", len(order), slowest.Round(time.Millisecond))
		if slowest > 10*time.Second {
			m.errorf("a healthy target waited %v for an event while others were in trouble", slowest)
		}
	}
}

// judgeOrder holds that of each subject an event is accepted for the first time when all before it were accepted or given up.
func (m *model) judgeOrder(s *target, order []int64, ordered map[int64]bool, byPosition map[int64]*modelEvent) {
	gaveUp, subjects := m.gaveUp(s), map[string][]int64{} // what is owed of each, in order
	for _, e := range m.events {
		if ordered[e.position] && !gaveUp[e.position] {
			subjects[e.subject] = append(subjects[e.subject], e.position)
		}
	}
	for _, position := range order {
		if !ordered[position] {
			continue
		}
		owed := subjects[byPosition[position].subject]
		if len(owed) > 0 && owed[0] < position {
			m.errorf("%s got %s\nbefore %s", s.name, m.story(s, byPosition[position]), m.story(s, byPosition[owed[0]]))
		}
		if i := slices.Index(owed, position); i >= 0 {
			subjects[byPosition[position].subject] = slices.Delete(owed, i, i+1)
		}
	}
}

// judgeCounts compares with what is written down.
func (m *model) judgeCounts(s *target, accepted, requests map[int64]int, byPosition map[int64]*modelEvent) {
	rows, err := m.super.Query(context.Background(), `
select d.delivery_id, d.state, (select count(*)::int from tinydev.attempt a where a.subscription_id = d.subscription_id and a.delivery_id = d.delivery_id),
       (select count(*) filter (where a.delivered)::int from tinydev.attempt a where a.subscription_id = d.subscription_id and a.delivery_id = d.delivery_id)
  from tinydev.delivery d where d.owner = $1 and d.subscription = $2`, s.owner, s.name)
	if err != nil {
		m.t.Fatal(err)
	}
	var position int64
	var state string
	var attempts, deliveries int
	recorded := map[int64]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&position, &state, &attempts, &deliveries}, func() error {
		recorded[position] = true
		if accepted[position] == 0 {
			m.errorf("%s: delivery %d is %s and the target accepted nothing", s.name, position, state)
		}
		if attempts > requests[position] || deliveries > accepted[position] {
			m.errorf("%s: delivery %d has %d attempts, of which %d delivered; there were %d and %d", s.name, position, attempts, deliveries, requests[position], accepted[position])
		}
		if m.calm && !s.replayed && (attempts != min(requests[position], 50) || deliveries != accepted[position] && requests[position] <= 50) {
			m.errorf("%s: delivery %d has %d attempts, of which %d delivered, and there were %d and %d", s.name, position, attempts, deliveries, requests[position], accepted[position])
		}
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
	for position := range accepted {
		if !recorded[position] {
			e := byPosition[position]
			// Where the server died with the record, or another round began, it may be found not to fit any more.
			if m.calm && !s.replayed || len(s.filters) == 1 {
				m.errorf("%s accepted %s, and there is no delivery", s.name, m.story(s, e))
			}
		}
	}
}

// gaveUp gives the positions that were dead at some time: what came behind them need not wait for them.
func (m *model) gaveUp(s *target) map[int64]bool {
	rows, err := m.super.Query(context.Background(), `
select distinct delivery_id from tinydev.attempt where owner = $1 and subscription = $2 and not delivered and next_attempt_at is null`, s.owner, s.name)
	if err != nil {
		m.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		m.t.Fatal(err)
	}
	given := map[int64]bool{}
	for _, position := range list {
		given[position] = true
	}
	return given
}

// story tells of an event at a target.
func (m *model) story(s *target, e *modelEvent) string {
	var b strings.Builder
	fmt.Fprintf(&b, "event %d at %d, %s %s k %d, committed at %v with filter %d", e.n, e.position, e.typ, e.subject, e.k, e.committed.Sub(m.began).Round(time.Millisecond), e.versions[s])
	for _, a := range s.arrivals {
		if a.n == e.n {
			fmt.Fprintf(&b, "; attempt %d at %v, accepted %v", a.attempt, a.at.Sub(m.began).Round(time.Millisecond), a.accepted)
		}
	}
	return b.String()
}
