package main

import (
	"context"
	"fmt"
)

// measureChanges compares refreshes that track changes with one that does not, of the same view after a change of one row in a hundred, each in a
// session of its own, as pg_cron's are.
func measureChanges(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("call tinydev.refresh(…, track_changes => …), one row in a hundred changed, a fresh session each, %d runs each in turns, medians", o.changesRuns)}
	ways := []string{"none", "counts", "keys", "rows"}
	for _, rows := range o.changesRows {
		table, view := fmt.Sprintf("changes_%d", rows), fmt.Sprintf("changes_%d_view", rows)
		if err := s.exec(ctx, user, refreshSetUp(table, view, rows)+"; create unique index on "+view+" (id); analyze "+view); err != nil {
			return out, err
		}
		times := map[string]*sample{}
		for run := range o.changesRuns {
			for turn := range ways {
				way := ways[(run+turn)%len(ways)]
				if times[way] == nil {
					times[way] = &sample{}
				}
				change := fmt.Sprintf("update %s set change_count = change_count + 1 where id %% 100 = %d", table, (len(ways)*run+turn)%100)
				if err := s.exec(ctx, user, change); err != nil {
					return out, err
				}
				var all sample
				if err := timeFresh(ctx, s, fmt.Sprintf("call tinydev.refresh('%s', track_changes => '%s')", view, way), times[way], &all); err != nil {
					return out, err
				}
			}
		}
		line, none := fmt.Sprintf("%7d rows", rows), times["none"].median()
		for _, way := range ways {
			line += fmt.Sprintf("   %s %8.1f ms", way, times[way].median())
			if way != "none" {
				line += fmt.Sprintf(" (%.2f times)", times[way].median()/none)
			}
		}
		out.say("%s", line)
		if err := s.exec(ctx, user, fmt.Sprintf("select tinydev.drop_view('%s'); drop table %s", view, table)); err != nil {
			return out, err
		}
	}
	return out, nil
}
