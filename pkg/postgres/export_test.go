package postgres

// For the tests outside of the package, which have a PostgreSQL.
var (
	Quiet = quiet
	Alive = alive
)
