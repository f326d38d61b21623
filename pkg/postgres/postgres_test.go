package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestAsUserKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, from := range []string{
		"postgres://tinydev_server:secret@db.example:5433/shop?sslmode=require&connect_timeout=3",
		"postgresql:///shop?host=db.example&port=5433&user=tinydev_server&password=secret&sslmode=require",
		"host=db.example port=5433 user=tinydev_server password=secret dbname=shop sslmode=require",
	} {
		to, err := postgres.AsUser(from, "O'dd \\na me")
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := pgx.ParseConfig(to)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if cfg.User != "O'dd \\na me" || cfg.Password != "" || cfg.Host != "db.example" || cfg.Port != 5433 || cfg.Database != "shop" || cfg.TLSConfig == nil || len(cfg.Fallbacks) != 0 {
			t.Errorf("%s became %s: %+v", from, to, cfg.Config)
		}
		if strings.Contains(to, "+") {
			t.Errorf("libpq misreads %s", to)
		}
	}
	_, err := postgres.AsUser("postgres://u:hush@%zz/x", "a")
	if e := fault.As(err); e == nil || e.Code != "database_url_invalid" || strings.Contains(e.Message, "hush") {
		t.Errorf("%v, want database_url_invalid without the password", err)
	}
}
