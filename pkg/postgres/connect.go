package postgres

import (
	"context"
	"fmt"
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

func parse(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fault.New(fault.Invalid, "database_url_invalid", "the database URL cannot be read: %s", redact(err.Error(), url)).
			WithHint("write postgres://user@host:5432/database").Because(err)
	}
	for k, v := range settings {
		cfg.ConnConfig.RuntimeParams[k] = v
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	return cfg, nil
}

// redact keeps the URL, which may hold a password, out of pgx's message.
func redact(message, url string) string {
	return strings.ReplaceAll(message, url, "…")
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

// AsUser gives url with another user and without a password, as sessions of users have it.
func AsUser(url, user string) (string, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return "", fault.New(fault.Invalid, "database_url_invalid", "the database URL cannot be read").Because(err)
	}
	return URL(cfg.Host, cfg.Port, user, cfg.Database), nil
}

// URL writes a connection URL that both pgx and libpq read. host may be a socket directory.
func URL(host string, port uint16, user, database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=%s", escape(database), escape(host), port, escape(user))
}

// escape percent-encodes all but letters, digits and -._~/ ; libpq does not read + as a space.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
