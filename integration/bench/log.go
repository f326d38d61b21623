package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

const (
	smallLog     = 10_000
	logRatio     = 1.5 // of the time that a page takes in a small log, at p50
	logPageReads = 200
)

// logPages are the pages that people and programs read of the log and of what was delivered.
var logPages = []struct{ name, sql string }{
	{"the newest 100 events", "select events from tinydev.latest_events(100)"},
	{"the newest 100 about one view", "select events from tinydev.latest_events(100, subjects => array['bench.s7'])"},
	{"100 events after a cursor in the middle", "select events from tinydev.read_events((select head / 2 from tinydev.event_head()), 100)"},
	{"the newest 100 deliveries", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = $1 order by delivery_id desc limit 100) d"},
	{"100 deliveries in the middle", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = $1 and delivery_id < (select head / 2 from tinydev.event_head()) order by delivery_id desc limit 100) d"},
	{"the dead ones", "select array_agg(d) from (select * from tinydev.delivery where subscription_id = $1 and state = 'dead' order by delivery_id desc limit 100) d"},
}

// measureLog reads pages of a log of some thousand events, fills it up, and reads them again.
func measureLog(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("a page of the log, and of a subscription's deliveries, at %d events beside one at %d, medians of %d", o.logEvents, smallLog, logPageReads)}
	conn, err := s.connect(ctx, user)
	if err != nil {
		return out, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, conn, "select tinydev.create_subscription('log', 'webhook', 'https://example.org/never', types => array['never.happens'], secret => '"+webhookSecret+"')"); err != nil {
		return out, err
	}
	var id int64
	if err := conn.QueryRow(ctx, "select subscription_id from tinydev.subscription where name = 'log'").Scan(&id); err != nil {
		return out, err
	}
	if err := s.fillLog(ctx, id, smallLog); err != nil {
		return out, err
	}
	small, err := readPages(ctx, conn, id)
	if err != nil {
		return out, err
	}
	began := time.Now()
	if err := s.fillLog(ctx, id, o.logEvents-smallLog); err != nil {
		return out, err
	}
	filled := time.Since(began)
	large, err := readPages(ctx, conn, id)
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

// fillLog appends events and their deliveries, one in ten thousand dead, as the placer and the deliverer would, but without telling anybody.
func (s *stage) fillLog(ctx context.Context, subscription int64, n int) error {
	super, err := s.connect(ctx, cluster.Superuser)
	if err != nil {
		return err
	}
	defer super.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, super, "set session_replication_role = replica"); err != nil {
		return err
	}
	const batch = 500_000
	for left := n; left > 0; left -= batch {
		_, err := super.Exec(ctx, `
with head as (select position from tinydev_impl.head for update),
extended as (select tinydev_impl.extend_log(position + $2) from head),
events as (
  insert into tinydev_impl.event (position, event_id, type, subject, workspace, actor, occurred_at, data)
  select h.position + i, -(h.position + i), 'bench.filled', 'bench.s' || i % 1000, 'bench', 'bench', clock_timestamp(), '{"rows": 3, "duration_ms": 12, "cause": "schedule"}'
    from head h, extended, generate_series(1, $2::bigint) i
  returning position, type, subject
), deliveries as (
  insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count, last_attempt_at, status_code, latency_ms)
  select $1, e.position, 1, e.subject, e.type, e.subject, case when e.position % 10000 = 0 then 'dead' else 'delivered' end, 1, clock_timestamp(), 204, 3 from events e
)
update tinydev_impl.head set position = position + $2`, subscription, min(left, batch))
		if err != nil {
			return fmt.Errorf("fill the log: %w", err)
		}
	}
	for _, sql := range []string{"vacuum analyze tinydev_impl.event", "vacuum analyze tinydev_impl.delivery", "checkpoint"} {
		if err := simple(ctx, super, sql); err != nil {
			return err
		}
	}
	return nil
}

// readPages measures each page.
func readPages(ctx context.Context, conn *pgx.Conn, subscription int64) ([]sample, error) {
	times := make([]sample, len(logPages))
	for range logPageReads {
		for i, page := range logPages {
			var args []any
			if i > 2 {
				args = []any{subscription}
			}
			start := time.Now()
			rows, err := conn.Query(ctx, page.sql, args...)
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
