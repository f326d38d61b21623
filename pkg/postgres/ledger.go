package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// ledger is the bookkeeping of Sessions: who has connections, and who waits for one. It opens and closes nothing itself.
//
// A connection counts from when room for it was given until PostgreSQL has ended it.
type ledger struct {
	total, perUser int

	users   map[string]*user
	open    int    // connections, those being opened and closed among them
	closing int    // of them those that were idle and are being closed
	waiting int    // waiters of all users
	last    uint64 // number of the waiter that came last
	closed  bool
}

// user is a role that has connections, waits for one, or was asked about lately.
type user struct {
	role     string
	rights   rights
	limit    int       // connections that it may have here
	asked    time.Time // when PostgreSQL gave the rights
	lastUsed time.Time

	open     int           // connections, as in ledger
	inUse    int           // of them those that are not idle
	cleaning int           // of them those that come back in a moment
	idle     []*connection // the one used last at the end
	waiting  []*waiter     // the one who came first at the beginning
}

// connection is one connection to PostgreSQL as a user.
type connection struct {
	*pgx.Conn
	user      *user
	seconds   int // its statement_timeout
	idleSince time.Time
}

// waiter is a request in the queue.
type waiter struct {
	user    *user
	number  uint64
	granted chan *connection // gets one value: nil is leave to open a connection
}

// rights is what PostgreSQL says that a role may have.
type rights struct {
	Limits
	connections int
}

func newLedger(o Options) ledger {
	return ledger{total: o.Total, perUser: o.PerUser, users: map[string]*user{}}
}

// learn takes down what PostgreSQL said of a role.
func (l *ledger) learn(role string, r rights, asked time.Time) *user {
	u := l.users[role]
	if u == nil {
		u = &user{role: role}
		l.users[role] = u
	}
	if asked.After(u.asked) || u.limit == 0 {
		u.rights, u.asked, u.limit = r, asked, max(1, min(l.perUser, l.total, r.connections))
	}
	return u
}

// enqueue adds a waiter; dispatch serves it.
func (l *ledger) enqueue(u *user) *waiter {
	l.last++
	l.waiting++
	w := &waiter{user: u, number: l.last, granted: make(chan *connection, 1)}
	u.waiting = append(u.waiting, w)
	return w
}

// leave takes a waiter out of the queue. False: it was served before.
func (l *ledger) leave(w *waiter) bool {
	i := slices.Index(w.user.waiting, w)
	if i < 0 {
		return false
	}
	w.user.waiting = slices.Delete(w.user.waiting, i, i+1)
	l.waiting--
	return true
}

// dispatch serves all who can be, and gives the idle connections of others that are to be closed to make room.
func (l *ledger) dispatch() (evicted []*connection) {
	if l.waiting == 0 {
		return nil
	}
	served := map[*user]int{} // waiters for whom room is being made
	coming := l.closing
	for {
		u := l.first(served)
		switch {
		case u == nil:
			return evicted
		case len(u.idle) > 0:
			c := u.idle[len(u.idle)-1]
			u.idle = u.idle[:len(u.idle)-1]
			l.grant(u, c)
		case l.open < l.total:
			l.open++
			u.open++
			l.grant(u, nil)
		case coming > 0:
			coming--
			served[u]++
		default:
			c := l.leastRecent()
			if c == nil {
				return evicted
			}
			evicted = append(evicted, l.take(c))
			served[u]++
		}
	}
}

// first gives the user whose turn it is: who has the fewest connections in use, then who waits longest. Who has one back in a
// moment does not open another. Nil: nobody can be served.
func (l *ledger) first(served map[*user]int) *user {
	var best *user
	for _, u := range l.users {
		n := served[u]
		if len(u.waiting) <= n || len(u.idle) == 0 && (u.open+n >= u.limit || len(u.waiting)-n <= u.cleaning) {
			continue
		}
		if best == nil {
			best = u
			continue
		}
		mine, theirs := u.inUse+n, best.inUse+served[best]
		if mine < theirs || mine == theirs && u.waiting[n].number < best.waiting[served[best]].number {
			best = u
		}
	}
	return best
}

func (l *ledger) grant(u *user, c *connection) {
	u.inUse++
	u.lastUsed = time.Now()
	w := u.waiting[0]
	u.waiting = u.waiting[1:]
	l.waiting--
	w.granted <- c
}

// leastRecent gives an idle connection of the user who was served longest ago; nil when none is idle.
func (l *ledger) leastRecent() *connection {
	var best *user
	for _, u := range l.users {
		if len(u.idle) > 0 && (best == nil || u.lastUsed.Before(best.lastUsed)) {
			best = u
		}
	}
	if best == nil {
		return nil
	}
	return best.idle[0]
}

// take removes an idle connection, which the caller closes and then reports by ended.
func (l *ledger) take(c *connection) *connection {
	u := c.user
	u.idle = slices.DeleteFunc(u.idle, func(other *connection) bool { return other == c })
	u.inUse++
	l.closing++
	return c
}

// ended says that a connection which take gave is no more.
func (l *ledger) ended(u *user) {
	l.closing--
	l.gone(u)
}

// gone says that a connection in use is no more, or that the one that there was leave for was not opened.
func (l *ledger) gone(u *user) {
	u.inUse--
	u.open--
	l.open--
}

// keeps reports whether a connection in use goes on being idle; otherwise it is to be closed.
func (l *ledger) keeps(c *connection) bool {
	return !l.closed && c.user.open <= c.user.limit && c.seconds == c.user.rights.StatementSeconds
}

// put makes a connection in use idle.
func (l *ledger) put(c *connection) {
	c.idleSince = time.Now()
	c.user.lastUsed = c.idleSince
	c.user.inUse--
	c.user.idle = append(c.user.idle, c)
}

// dismiss forgets what is known of a role and takes its idle connections.
func (l *ledger) dismiss(role string) (taken []*connection) {
	u := l.users[role]
	if u == nil {
		return nil
	}
	u.asked = time.Time{}
	for _, c := range slices.Clone(u.idle) {
		taken = append(taken, l.take(c))
	}
	return taken
}

// expired takes what has been idle since before a time, or is dead, and forgets users without connections whose rights are as old.
func (l *ledger) expired(before time.Time, dead func(*pgx.Conn) bool) (taken []*connection) {
	for role, u := range l.users {
		for _, c := range slices.Clone(u.idle) {
			if c.idleSince.Before(before) || dead(c.Conn) {
				taken = append(taken, l.take(c))
			}
		}
		if u.open == 0 && len(u.waiting) == 0 && u.asked.Before(before) {
			delete(l.users, role)
		}
	}
	return taken
}

// stale lists the roles with idle connections about which PostgreSQL was not asked since a time.
func (l *ledger) stale(since time.Time) (roles []string) {
	for role, u := range l.users {
		if len(u.idle) > 0 && u.asked.Before(since) {
			roles = append(roles, role)
		}
	}
	return roles
}
