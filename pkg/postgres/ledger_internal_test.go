package postgres

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func has(connections int) rights { return rights{Limits{StatementSeconds: 1}, connections} }

// Whatever comes in whatever order: nobody has more than is allowed, nobody waits who could be served, and what is counted adds up.
func TestLedgerHoldsItsLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(Options{Total: rapid.IntRange(1, 6).Draw(t, "total"), PerUser: rapid.IntRange(1, 4).Draw(t, "per user")})
		var queue []*waiter
		var inUse, cleaning, closing []*connection
		serve := func() {
			closing = append(closing, l.dispatch()...)
			for i := 0; i < len(queue); i++ {
				select {
				case c := <-queue[i].granted:
					if c == nil {
						c = &connection{user: queue[i].user, seconds: 1}
					}
					if c.user != queue[i].user {
						t.Fatalf("%s got a connection of %s", queue[i].user.role, c.user.role)
					}
					inUse = append(inUse, c)
					queue = append(queue[:i], queue[i+1:]...)
					i--
				default:
				}
			}
		}
		pick := func(from *[]*connection) *connection {
			if len(*from) == 0 {
				t.Skip("none")
			}
			i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
			c := (*from)[i]
			*from = append((*from)[:i], (*from)[i+1:]...)
			return c
		}
		role := rapid.SampledFrom([]string{"ann", "bob", "eve"})
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				queue = append(queue, l.enqueue(l.learn(role.Draw(t, "role"), has(rapid.IntRange(1, 5).Draw(t, "connections")), time.Now())))
				serve()
			},
			"leave": func(t *rapid.T) {
				if len(queue) == 0 {
					t.Skip("nobody waits")
				}
				if !l.leave(queue[0]) {
					t.Fatal("a waiter who was not served is not in the queue")
				}
				queue = queue[1:]
				serve()
			},
			"release": func(t *rapid.T) {
				c := pick(&inUse)
				c.user.cleaning++
				cleaning = append(cleaning, c)
			},
			"clean": func(t *rapid.T) {
				c := pick(&cleaning)
				c.user.cleaning--
				if l.keeps(c) && rapid.Bool().Draw(t, "clean") {
					l.put(c)
				} else {
					l.gone(c.user)
				}
				serve()
			},
			"end": func(t *rapid.T) {
				l.ended(pick(&closing).user)
				serve()
			},
			"drop": func(t *rapid.T) {
				closing = append(closing, l.dismiss(role.Draw(t, "role"))...)
				serve()
			},
			"": func(t *rapid.T) {
				idle, open, waiting := 0, 0, 0
				for _, u := range l.users {
					if u.inUse != u.open-len(u.idle) {
						t.Fatalf("%s has %d open, %d in use and %d idle", u.role, u.open, u.inUse, len(u.idle))
					}
					if u.open > l.perUser {
						t.Fatalf("%s has %d of %d", u.role, u.open, l.perUser)
					}
					if len(u.waiting) > 0 && len(u.idle) > 0 && len(closing) == 0 {
						t.Fatalf("%s waits beside an idle connection", u.role)
					}
					if len(u.waiting) > u.cleaning && u.open < u.limit && l.open < l.total {
						t.Fatalf("%s waits though there is room", u.role)
					}
					idle, open, waiting = idle+len(u.idle), open+u.open, waiting+len(u.waiting)
				}
				if open != l.open || open > l.total || open != idle+len(inUse)+len(cleaning)+len(closing) || l.closing != len(closing) || waiting != l.waiting || waiting != len(queue) {
					t.Fatalf("%d of %d open, counted %d: %d idle, %d in use, %d cleaning, %d closing; %d wait, counted %d", l.open, l.total, open, idle, len(inUse), len(cleaning), len(closing), l.waiting, waiting)
				}
			},
		})
	})
}

// One user's crowd takes nothing from another: with all in use by the crowd, what comes free goes to who has none.
func TestLedgerIsFairBetweenUsers(t *testing.T) {
	t.Parallel()
	l := newLedger(Options{Total: 2, PerUser: 2})
	ann, bob := l.learn("ann", has(9), time.Now()), l.learn("bob", has(9), time.Now())
	var crowd []*waiter
	for range 10 {
		crowd = append(crowd, l.enqueue(ann))
	}
	l.dispatch()
	one := &connection{user: ann, seconds: 1}
	if n := len(crowd[0].granted) + len(crowd[1].granted); n != 2 {
		t.Fatalf("%d of the crowd were served, want 2", n)
	}
	first, second := l.enqueue(bob), l.enqueue(bob)
	if out := l.dispatch(); len(out) != 0 {
		t.Fatalf("%d connections in use are closed", len(out))
	}
	l.put(one)
	out := l.dispatch()
	if len(out) != 1 || len(crowd[2].granted) != 0 {
		t.Fatalf("the crowd keeps what came free: %d closed", len(out))
	}
	l.ended(ann)
	l.dispatch()
	if len(first.granted) != 1 || len(second.granted) != 0 || len(crowd[2].granted) != 0 {
		t.Fatal("bob's first request was not the next")
	}
}

// An idle connection of the user who was served longest ago makes room, and only as many are closed as there are requests.
func TestLedgerClosesTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	l := newLedger(Options{Total: 3, PerUser: 3})
	for i := range 3 {
		u := l.learn(fmt.Sprintf("user%d", i), has(9), time.Now())
		l.enqueue(u)
		l.dispatch()
		l.put(&connection{user: u, seconds: 1})
		u.lastUsed = time.Unix(int64(100-i), 0)
	}
	w := l.enqueue(l.learn("ann", has(9), time.Now()))
	out := l.dispatch()
	if len(out) != 1 || out[0].user.role != "user2" || len(w.granted) != 0 {
		t.Fatalf("closed: %v", out)
	}
	if more := l.dispatch(); len(more) != 0 {
		t.Fatalf("%d more are closed for one request", len(more))
	}
	l.ended(out[0].user)
	if l.dispatch(); len(w.granted) != 1 {
		t.Fatal("the room was not given")
	}
}
