package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	sessionRatio = 1.2 // of a request in a warm session of a user to the same one on the server's own pool
	coldUsers    = 40
	roundLength  = 50 // requests each way before the other has its turn
)

// measureSessions compares a request that is answered in a session of the user with the same one on the server's own pool, over
// the same HTTP stack, one after the other: when the user has a connection, and when it has to be opened.
func measureSessions(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("a request in a session of the user beside the same one on the server's own pool, %d each in turns, and the first one of %d users, by the socket", o.sessionRequests, coldUsers)}
	// Whom the server has not seen before, so that the first request of each opens a connection.
	setUp := `select tinydev.create_table('measured', '[{"name":"id","type":"bigint"},{"name":"name","type":"text"}]');
select tinydev.create_user('cold_' || n) from generate_series(1, %d) n;
grant usage on schema bench to public; grant select on measured to public`
	if err := s.exec(ctx, user, fmt.Sprintf(setUp, coldUsers)); err != nil {
		return out, err
	}
	if err := s.superuser(ctx, "grant select on tinydev.relation to tinydev_server"); err != nil { // else only users have it
		return out, err
	}
	url := s.pg.URL("tinydev_server", cluster.Database)
	pool, err := postgres.Open(ctx, url, "tinydev bench", 4)
	if err != nil {
		return out, err
	}
	defer pool.Close()
	sessions := postgres.NewSessions(url, pool, postgres.Options{Total: coldUsers + 8})
	defer sessions.Close()
	server := httptest.NewServer(measured(sessions, pool))
	defer server.Close()

	var warm, bare, cold sample
	for request := range warmUp + o.sessionRequests {
		for turn := range 2 {
			path, times := "/session/"+user, &warm
			if (request/roundLength+turn)%2 == 0 {
				path, times = "/pool", &bare
			}
			took, err := timeGet(ctx, server.URL+path)
			if err != nil {
				return out, err
			}
			if request >= warmUp {
				times.add(took)
			}
		}
	}
	for n := range coldUsers {
		took, err := timeGet(ctx, fmt.Sprintf("%s/session/cold_%d", server.URL, n+1))
		if err != nil {
			return out, err
		}
		cold.add(took)
	}
	ratio := warm.median() / bare.median()
	out.aim(ratio <= sessionRatio, "p50 in a warm session, times the server's pool", fmt.Sprintf("%.3f", ratio), fmt.Sprintf("≤ %.1f", sessionRatio))
	out.say("warm session       %s", warm.spread())
	out.say("server's own pool  %s", bare.spread())
	out.say("cold session       %s  %.1f times the pool", cold.spread(), cold.median()/bare.median())
	return out, nil
}

// measured answers the same request in a session of the user in the path, and on the pool.
func measured(sessions *postgres.Sessions, pool *pgxpool.Pool) http.Handler {
	const query = "select tinydev.describe('bench.measured')"
	answer := func(w http.ResponseWriter, body []byte, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(json.RawMessage(body)) // fails when the client is gone
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /session/{role}", func(w http.ResponseWriter, r *http.Request) {
		session, err := sessions.Acquire(r.Context(), r.PathValue("role"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer session.Release()
		var body []byte
		err = session.QueryRow(r.Context(), query).Scan(&body)
		answer(w, body, err)
	})
	mux.HandleFunc("GET /pool", func(w http.ResponseWriter, r *http.Request) {
		var body []byte
		err := pool.QueryRow(r.Context(), query).Scan(&body)
		answer(w, body, err)
	})
	return mux
}

// timeGet measures one request to the last byte of its answer.
func timeGet(ctx context.Context, url string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s: %s: %s", url, answer.Status, body)
	}
	return took, nil
}
