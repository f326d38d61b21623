package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"
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
// max is the number of connections. Errors: invalid database_url_invalid.
func Open(ctx context.Context, url, name string, max int32) (*pgxpool.Pool, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = max
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the pool: %w", Fault(err, ""))
	}
	return pool, nil
}

// Connect opens one connection outside any pool, for listening and for migrations. The caller closes it.
func Connect(ctx context.Context, url, name string) (*pgx.Conn, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, Fault(err, "")
	}
	return conn, nil
}

// AsUser gives a database URL with another user and without a password; all else in it, such as how TLS is verified, stays.
// A string of keywords and values becomes another such string. Errors: invalid database_url_invalid.
func AsUser(database, user string) (string, error) {
	if _, err := parse(database); err != nil {
		return "", err
	}
	if !strings.HasPrefix(database, "postgres://") && !strings.HasPrefix(database, "postgresql://") {
		quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
		return database + " user='" + quote(user) + "' password=''", nil
	}
	u, err := url.Parse(database)
	if err != nil {
		return "", fault.New(fault.Invalid, "database_url_invalid", "the database URL cannot be read").Because(err)
	}
	u.User = nil
	query := u.Query()
	query.Set("user", user)
	query.Del("password")
	// libpq does not read + as a space.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String(), nil
}
