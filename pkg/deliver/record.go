package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// record is what is to be written down of one event.
type record struct {
	pending *pending
	outcome string // of tinydev_impl.record_deliveries: a State, waiting or withheld
	at      time.Time
	took    time.Duration
	detail  Outcome
}

// The outcomes that are no State.
const (
	waiting  = "waiting"
	withheld = "withheld"
)

// errChanged says that the subscription is another one now. What was to be recorded is, but for the cursor.
var errChanged = errors.New("the subscription was changed")

// record writes down what has been collected and moves the cursor. With goOn attempts go on meanwhile, and how they end is collected anew.
func (r *runner) record(goOn bool) error {
	if len(r.records) == 0 {
		return nil
	}
	r.advance()
	records := r.records
	r.records = nil
	if err := r.write(records, goOn); err != nil {
		if !errors.Is(err, errChanged) {
			// They stay: the cursor, which has moved, must not be written without them.
			r.records = append(records, r.records...)
		}
		return err
	}
	r.d.step("recorded", r.def.Name)
	return nil
}

// write calls tinydev_impl.record_deliveries, until the database takes it: what is lost here is sent again. A row that a user's open
// transaction holds is waited for too; but when the runner is to end, nothing longer than stopLimit.
func (r *runner) write(records []record, goOn bool) error {
	cursor := r.cursor
	n := len(records)
	var (
		positions                        = make([]int64, n)
		lanes, types, subjects, outcomes = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		at                               = make([]*time.Time, n)
		codes, latencies, retries        = make([]*int32, n), make([]*int32, n), make([]*int32, n)
		reasons, responses               = make([]*string, n), make([]*string, n)
		number                           = func(i int) *int32 { v := int32(min(i, 1<<30)); return &v }
		text                             = func(s string) *string {
			v := strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
			return &v
		}
	)
	// Of one delivery only the newest counts, and an attempt before that it waits: after a replay it is read from the log while it is tried.
	last := map[int64]int{}
	for i := range records {
		if _, seen := last[records[i].pending.event.Position]; !seen || records[i].outcome != waiting {
			last[records[i].pending.event.Position] = i
		}
	}
	n = 0
	for i := range records {
		rec := &records[i]
		p := rec.pending
		if last[p.event.Position] != i {
			continue
		}
		positions[n], lanes[n], types[n], subjects[n], outcomes[n] = p.event.Position, p.lane.name, p.event.Type, p.event.Subject, rec.outcome
		if !rec.at.IsZero() {
			at[n], latencies[n] = &rec.at, number(int(rec.took.Milliseconds()))
			if rec.detail.StatusCode != 0 {
				codes[n] = number(rec.detail.StatusCode)
			}
			if rec.detail.Response != "" {
				responses[n] = text(rec.detail.Response)
			}
			if rec.detail.RetryAfter > 0 {
				retries[n] = number(int(rec.detail.RetryAfter.Seconds() + 0.5))
			}
		}
		if rec.detail.Error != "" {
			reasons[n] = text(rec.detail.Error)
		}
		n++
	}
	var nextDue *float64
	var openLanes []string
	var openChange int
	var isCurrent bool
	query := func() error {
		limit := askLimit
		if r.draining {
			limit = stopLimit
		}
		ctx, cancel := context.WithTimeout(r.context, limit)
		defer cancel()
		return postgres.Fault(r.d.Pool.QueryRow(ctx, `
select next_due_seconds, open_lanes, open_change, is_current
  from tinydev_impl.record_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			r.id, r.d.id, r.def.Round, r.def.Version, cursor, r.hasOpen, positions[:n], lanes[:n], types[:n], subjects[:n], outcomes[:n], at[:n], codes[:n], latencies[:n], reasons[:n],
			responses[:n], retries[:n]).Scan(&nextDue, &openLanes, &openChange, &isCurrent), "")
	}
	var broken error // of an attempt meanwhile
	ask := query
	if goOn {
		ask = func() error {
			answered := make(chan error, 1)
			go func() { answered <- query() }()
			for {
				select {
				case err := <-answered:
					return err
				case res := <-r.results:
					r.finished(res)
					if broken = res.err; broken == nil {
						r.begin()
					} else {
						return <-answered
					}
				}
			}
		}
	}
	err := ask()
	for pause := 50 * time.Millisecond; fault.KindOf(err) == fault.Unavailable && r.rest(pause); pause = min(2*pause, time.Second) {
		err = ask()
	}
	if err != nil {
		return fmt.Errorf("record deliveries: %w", err)
	}
	if !isCurrent {
		return errChanged
	}
	r.written = cursor
	r.open += openChange
	r.learn(records, nextDue, openLanes)
	return broken
}

// rest waits before the next try; false when there is to be none.
func (r *runner) rest(pause time.Duration) bool {
	over := time.After(pause)
	for {
		stop, giveUp := r.stop, (<-chan time.Time)(nil)
		if r.draining {
			stop, giveUp = nil, time.After(time.Until(r.giveUpAt))
		}
		select {
		case <-r.context.Done():
			return false
		case <-stop:
			r.end()
		case <-giveUp:
			return false
		case <-over:
			return true
		}
	}
}

// learn takes in which lanes have deliveries that wait, and in how many seconds the next one is due.
func (r *runner) learn(records []record, nextDue *float64, openLanes []string) {
	open := make(map[string]bool, len(openLanes))
	for _, name := range openLanes {
		open[name] = true
	}
	for i := range r.records {
		open[r.records[i].pending.lane.name] = true // what came meanwhile may have opened it
	}
	for i := range records {
		l := r.lanes[records[i].pending.lane.name]
		if l == nil || !l.open || open[l.name] {
			continue
		}
		l.open = false
		if !l.busy && len(l.queue) == 0 {
			delete(r.lanes, l.name)
		}
	}
	r.hasOpen = nextDue != nil
	r.nextDue = time.Time{}
	if r.hasOpen {
		r.nextDue = time.Now().Add(time.Duration(*nextDue * float64(time.Second)))
	} else {
		r.open = 0
	}
}

// unsubscribeLink gives the address at which a recipient ends a subscription; tinydev_impl.unsubscribe checks its last part.
func unsubscribeLink(base string, id int64, secret, recipient string) string {
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	return base + "/unsubscribe?" + url.Values{"s": {strconv.FormatInt(id, 10)}, "to": {recipient}, "key": {sum(secret + ":" + sum(secret+":"+recipient))}}.Encode()
}
