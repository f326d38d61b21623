package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

// Promises of a refresh through tinydev.refresh over a bare one, in a fresh session each.
const (
	refreshManyRatio = 1.15 // at 100 k rows
	refreshFewExtra  = 8.0  // ms, at 1 k rows
)

// measureRefresh compares `call tinydev.refresh` with a bare REFRESH of the same view, each in a session of its own, as pg_cron's
// are, after a change of one row in a hundred.
func measureRefresh(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("call tinydev.refresh(…) beside refresh materialized view, a fresh session each, %d runs each in turns, medians", o.refreshRuns)}
	for _, size := range []struct {
		name string
		rows int
	}{{"1k", 1_000}, {"100k", 100_000}} {
		for _, concurrently := range []bool{false, true} {
			r, err := compareRefresh(ctx, s, size.rows, concurrently, o.refreshRuns)
			if err != nil {
				return out, err
			}
			what, kind := "plain", "refresh"
			if concurrently {
				what, kind = "concurrently", "refresh concurrently"
			}
			ours, bare := r.ours.median(), r.bare.median()
			switch {
			case concurrently:
			case size.rows < 100_000:
				out.aim(ours-bare <= refreshFewExtra, size.name+" rows, more than bare", fmt.Sprintf("%+.2f ms", ours-bare), fmt.Sprintf("≤ %.0f ms", refreshFewExtra))
			default:
				out.aim(ours/bare <= refreshManyRatio, size.name+" rows, times bare", fmt.Sprintf("%.3f", ours/bare), fmt.Sprintf("≤ %.2f", refreshManyRatio))
			}
			out.say("%-4s rows, %-12s  %.3f times, %+6.2f ms   tinydev.refresh %7.2f   %-20s %7.2f ms   with the connection %7.2f and %7.2f ms",
				size.name, what, ours/bare, ours-bare, ours, kind, bare, r.oursAll.median(), r.bareAll.median())
		}
	}
	return out, nil
}

// refreshSetUp is SQL that makes a table with so many rows, and a view of all of it.
func refreshSetUp(table, view string, rows int) string {
	return fmt.Sprintf(`
drop materialized view if exists %[2]s; drop table if exists %[1]s;
create table %[1]s (id bigint primary key, name text, amount numeric, born date, change_count integer not null default 0);
insert into %[1]s select n, 'Person ' || n, n / 100.0, date '1950-01-01' + n %% 20000 from generate_series(1, %[3]d) n;
analyze %[1]s;
select tinydev.create_view('%[2]s', 'select id, name, amount, born, change_count from %[1]s')`, table, view, rows)
}

type refreshTimes struct{ ours, bare, oursAll, bareAll sample }

func compareRefresh(ctx context.Context, s *stage, rows int, concurrently bool, runs int) (r refreshTimes, err error) {
	table, view := fmt.Sprintf("refresh_%d", rows), fmt.Sprintf("refresh_%d_view", rows)
	if err := s.exec(ctx, user, refreshSetUp(table, view, rows)); err != nil {
		return r, err
	}
	bare := "refresh materialized view " + view
	if concurrently {
		bare = "refresh materialized view concurrently " + view
		if err := s.exec(ctx, user, "create unique index on "+view+" (id)"); err != nil {
			return r, err
		}
	}
	ours := fmt.Sprintf("call tinydev.refresh('%s', cause => 'schedule')", view)
	for run := range runs {
		// One row in a hundred changes before each, and each goes first every other time.
		for turn := range 2 {
			change := fmt.Sprintf("update %s set change_count = change_count + 1 where id %% 100 = %d", table, (2*run+turn)%100)
			if err := s.exec(ctx, user, change); err != nil {
				return r, err
			}
			if (run+turn)%2 == 0 {
				err = timeFresh(ctx, s, ours, &r.ours, &r.oursAll)
			} else {
				err = timeFresh(ctx, s, bare, &r.bare, &r.bareAll)
			}
			if err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// timeFresh measures a statement in a new session: alone, and with the connection.
func timeFresh(ctx context.Context, s *stage, sql string, alone, all *sample) error {
	config, err := pgx.ParseConfig(s.pg.URL(user, cluster.Database))
	if err != nil {
		return err
	}
	connecting := time.Now()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	start := time.Now()
	err = simple(ctx, conn, sql)
	alone.add(time.Since(start))
	all.add(time.Since(connecting))
	if closing := conn.Close(ctx); err == nil {
		err = closing
	}
	return err
}
