// Package sql embeds the database side of TinyDevCRM.
//
// Migrations are numbered tern files. Functions holds one function, procedure or view per file, applied again by every
// upgrade as tinydev_owner; a file whose first line is "-- runs as: installer" is applied by the one who installs, because it
// makes what only a superuser may make or gives its function to another owner. grants.sql comes last.
package sql

import "embed"

// Migrations holds migrations/NNN_name.sql.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Functions holds functions/name.sql.
//
//go:embed functions/*.sql
var Functions embed.FS

// Grants is applied after the functions.
//
//go:embed grants.sql
var Grants string
