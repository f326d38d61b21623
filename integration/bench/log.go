package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

const (
	smallLog     = 10_000
	logRatio     = 1.5 // of the time that a page takes in a small log, at p50
	logPageReads = 200
)

// logPages are the pages that people and programs read of the log and of what was delivered; {middle} is a position in the middle of it.
var logPages = []struct{ name, sql string }{
	{"the newest 100 events", "select events from tinydev.latest_events(100)"},
	{"the newest 100 about one view", "select events from tinydev.latest_events(100, subjects => array['bench.s7'])"},
	{"100 events after a cursor in the middle", "select events from tinydev.read_events({middle}, 100)"},
	{"the newest 100 deliveries", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = {subscription} order by delivery_id desc limit 100) d"},
	{"100 deliveries in the middle", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = {subscription} and delivery_id < {middle} order by delivery_id desc limit 100) d"},
	{"the dead ones", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = {subscription} and state = 'dead' order by delivery_id desc limit 100) d"},
}

// measureLog reads pages of a large log, and right after it, on the machine as it is then, of a small one.
func measureLog(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("a page of the log, and of a subscription's deliveries, at %d events beside one at %d, medians of %d", o.logEvents, smallLog, logPageReads)}
	conn, err := s.connect(ctx, user)
	if err != nil {
		return out, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, conn, "select tinydev.create_subscription('log', 'webhook', 'https://example.org/never', types => array['never.happens'], secret => '"+webhookSecret+"'); select tinydev.alter_subscription('log', active => false)"); err != nil {
		return out, err
	}
	var id int64
	if err := conn.QueryRow(ctx, "select subscription_id from tinydev.subscription where name = 'log'").Scan(&id); err != nil {
		return out, err
	}
	began := time.Now()
	middle, err := s.fillLog(ctx, id, o.logEvents)
	if err != nil {
		return out, err
	}
	filled := time.Since(began)
	large, err := readPages(ctx, conn, id, middle)
	if err != nil {
		return out, err
	}
	if err := s.emptyLog(ctx); err != nil {
		return out, err
	}
	if middle, err = s.fillLog(ctx, id, smallLog); err != nil {
		return out, err
	}
	small, err := readPages(ctx, conn, id, middle)
	if err != nil {
		return out, err
	}
	for i, page := range logPages {
		ratio := large[i].median() / small[i].median()
		out.aim(ratio <= logRatio, page.name, fmt.Sprintf("%.2f times", ratio), fmt.Sprintf("≤ %.1f", logRatio))
		out.say("%-42s %6.2f ms at %d, %6.2f ms at %d", page.name, small[i].median(), smallLog, large[i].median(), o.logEvents)
	}
	out.say("filling it took %.0f s", filled.Seconds())
	return out, simple(ctx, conn, "select tinydev.drop_subscription('log')")
}

// emptyLog removes all events and deliveries; positions go on.
func (s *stage) emptyLog(ctx context.Context) error {
	super, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return err
	}
	defer super.Close(context.WithoutCancel(ctx))
	return simple(ctx, super, "truncate tinydev_impl.event, tinydev_impl.delivery")
}

// fillLog appends events and their deliveries, one in a hundred dead, as the placer and the deliverer would, but without telling
// anybody, and gives the position in the middle of them.
func (s *stage) fillLog(ctx context.Context, subscription int64, n int) (middle int64, err error) {
	super, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return 0, err
	}
	defer super.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, super, "set session_replication_role = replica"); err != nil {
		return 0, err
	}
	const batch = 500_000
	var start int64
	if err := super.QueryRow(ctx, "select position from tinydev_impl.head").Scan(&start); err != nil {
		return 0, err
	}
	before := start
	for left := n; left > 0; left -= batch {
		size := int64(min(left, batch))
		for _, step := range []struct {
			sql  string
			args []any
		}{
			// Apart, since a statement does not see the partitions that it makes.
			{"select tinydev_impl.extend_log($1)", []any{before + size}},
			{`
with events as (
  insert into tinydev_impl.event (position, event_id, type, subject, workspace, actor, occurred_at, data)
  select $2::bigint + i, -($2::bigint + i), 'bench.filled', 'bench.s' || i % 100, 'bench', 'bench', clock_timestamp(), '{"rows": 3, "duration_ms": 12, "cause": "schedule"}'
    from generate_series(1, $3::bigint) i
  returning position, type, subject
)
insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count, last_attempt_at, status_code, latency_ms)
select $1, e.position, 1, e.subject, e.type, e.subject, case when e.position % 100 = 0 then 'dead' else 'delivered' end, 1, clock_timestamp(), 204, 3 from events e`,
				[]any{subscription, before, size}},
			{"update tinydev_impl.head set position = $1", []any{before + size}},
		} {
			if _, err := super.Exec(ctx, step.sql, step.args...); err != nil {
				return 0, fmt.Errorf("fill the log: %w", err)
			}
		}
		before += size
	}
	var filled int64
	if err := super.QueryRow(ctx, "select count(*) from tinydev_impl.delivery where subscription_id = $1 and position > $2", subscription, start).Scan(&filled); err != nil {
		return 0, err
	}
	if filled != int64(n) {
		return 0, fmt.Errorf("fill the log: there are %d deliveries of %d", filled, n)
	}
	for _, sql := range []string{"vacuum analyze tinydev_impl.event", "vacuum analyze tinydev_impl.delivery", "checkpoint"} {
		if err := simple(ctx, super, sql); err != nil {
			return 0, err
		}
	}
	return start + int64(n)/2, s.calm(ctx)
}

// calm waits until the server has read what is new in the log, which it does for its metrics.
func (s *stage) calm(ctx context.Context) error {
	for range 600 {
		used := processorTime(s.server.Process.Pid) + s.databaseTime()
		time.Sleep(time.Second)
		if processorTime(s.server.Process.Pid)+s.databaseTime()-used < 100*time.Millisecond {
			return ctx.Err()
		}
	}
	return errors.New("the server has not read the log within 10 minutes")
}

// readPages measures each page.
func readPages(ctx context.Context, conn *pgx.Conn, subscription, middle int64) ([]sample, error) {
	times := make([]sample, len(logPages))
	for range logPageReads {
		for i, page := range logPages {
			sql := strings.NewReplacer("{subscription}", fmt.Sprint(subscription), "{middle}", fmt.Sprint(middle)).Replace(page.sql)
			start := time.Now()
			rows, err := conn.Query(ctx, sql)
			if err != nil {
				return nil, err
			}
			for rows.Next() {
				_ = rows.RawValues()
			}
			if rows.Close(); rows.Err() != nil {
				return nil, fmt.Errorf("%s: %w", page.name, rows.Err())
			}
			times[i].add(time.Since(start))
		}
	}
	return times, nil
}
