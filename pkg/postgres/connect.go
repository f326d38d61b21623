package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// settings every connection of ours has. The time-outs let a dead network be noticed in about 15 s rather than minutes.
var settings = map[string]string{
	"application_name":        "tinydev",
	"TimeZone":                "UTC",
	"DateStyle":               "ISO, YMD",
	"IntervalStyle":           "iso_8601",
	"tcp_keepalives_idle":     "5",
	"tcp_keepalives_interval": "2",
	"tcp_keepalives_count":    "4",
	"tcp_user_timeout":        "12000",
}

// Credential adds to the configuration of a connection that is about to be opened what shows PostgreSQL that we may log in as
// role, such as a client certificate. It is asked for each connection and may be called from several goroutines.
type Credential func(ctx context.Context, role string, cfg *pgx.ConnConfig) error

// show asks each credential.
func show(ctx context.Context, credentials []Credential, cfg *pgx.ConnConfig) error {
	for _, credential := range credentials {
		if err := credential(ctx, cfg.User, cfg); err != nil {
			return fmt.Errorf("log in as %s: %w", cfg.User, err)
		}
	}
	return nil
}

func parse(database string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, fault.New(fault.Invalid, "database_url_invalid", "the database URL cannot be read: %s", redact(err.Error(), database)).
			WithHint("write postgres://user@host:5432/database").Because(err)
	}
	for k, v := range settings {
		cfg.ConnConfig.RuntimeParams[k] = v
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	return cfg, nil
}

// redact keeps the URL, which may hold a password, out of pgx's message.
func redact(message, database string) string {
	return strings.ReplaceAll(message, database, "…")
}

// Open makes the server's own pool from a URL; it connects on first use. name is shown in pg_stat_activity.
// max is the number of connections. A connection that PostgreSQL ended while it was idle is replaced before it is used.
// Errors: invalid database_url_invalid.
func Open(ctx context.Context, url, name string, max int32, credentials ...Credential) (*pgxpool.Pool, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = max
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	cfg.BeforeConnect = func(ctx context.Context, cfg *pgx.ConnConfig) error { return show(ctx, credentials, cfg) }
	cfg.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool {
		return p.IdleDuration > time.Second || !quiet(p.Conn)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the pool: %w", Fault(err, ""))
	}
	return pool, nil
}

// Connect opens one connection outside any pool, for migrations. The caller closes it.
func Connect(ctx context.Context, url, name string, credentials ...Credential) (*pgx.Conn, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	return connect(ctx, cfg.ConnConfig, name, credentials)
}

// Beside opens one connection of the same login as a pool's, but outside of it, for listening. The caller closes it.
func Beside(ctx context.Context, pool *pgxpool.Pool, name string) (*pgx.Conn, error) {
	cfg := pool.Config()
	return connect(ctx, cfg.ConnConfig, name, []Credential{func(ctx context.Context, _ string, c *pgx.ConnConfig) error { return cfg.BeforeConnect(ctx, c) }})
}

func connect(ctx context.Context, cfg *pgx.ConnConfig, name string, credentials []Credential) (*pgx.Conn, error) {
	cfg.RuntimeParams["application_name"] = name
	if err := show(ctx, credentials, cfg); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, Fault(err, "")
	}
	return conn, nil
}

// quiet reports whether nothing waits to be read from an idle connection. PostgreSQL speaks to one mostly to end it. This is one
// call of the kernel, where a ping is a round trip.
func quiet(conn *pgx.Conn) bool {
	if conn.IsClosed() {
		return false
	}
	socket := conn.PgConn().Conn()
	if over, ok := socket.(interface{ NetConn() net.Conn }); ok { // TLS
		socket = over.NetConn()
	}
	direct, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := direct.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	// Not raw.Read: it waits for the read that pgx leaves behind in the background after a slow write.
	err = raw.Control(func(fd uintptr) {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(peeked, syscall.EAGAIN)
}

// alive reports whether an idle connection can be used.
func alive(ctx context.Context, conn *pgx.Conn) bool {
	if quiet(conn) {
		return true
	}
	if conn.IsClosed() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return conn.Ping(ctx) == nil
}

// UserOf gives the role as which a database URL logs in. Errors: invalid database_url_invalid.
func UserOf(database string) (string, error) {
	cfg, err := parse(database)
	if err != nil {
		return "", err
	}
	return cfg.ConnConfig.User, nil
}

// AsUser gives a database URL with another user and without a password; all else in it, such as how TLS is verified, stays.
// A string of keywords and values becomes another such string. Errors: invalid database_url_invalid.
func AsUser(database, user string) (string, error) {
	return change(database, user, nil)
}

// change gives a database URL with another user, without a password, and with further parameters.
func change(database, user string, parameters map[string]string) (string, error) {
	if _, err := parse(database); err != nil {
		return "", err
	}
	if !strings.HasPrefix(database, "postgres://") && !strings.HasPrefix(database, "postgresql://") {
		quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
		database += " user='" + quote(user) + "' password=''"
		for _, name := range slices.Sorted(maps.Keys(parameters)) {
			database += " " + name + "='" + quote(parameters[name]) + "'"
		}
		return database, nil
	}
	u, err := url.Parse(database)
	if err != nil {
		return "", fault.New(fault.Invalid, "database_url_invalid", "the database URL cannot be read").Because(err)
	}
	u.User = nil
	query := u.Query()
	query.Set("user", user)
	query.Del("password")
	for name, value := range parameters {
		query.Set(name, value)
	}
	// libpq does not read + as a space.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String(), nil
}
