package control_test

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// sqlState gives an error's SQLSTATE; "" when PostgreSQL raised none.
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
