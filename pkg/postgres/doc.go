// Package postgres is the way to PostgreSQL: the server's own pool, sessions as a user, the listening connection, and the
// one place that reads SQLSTATEs.
package postgres
