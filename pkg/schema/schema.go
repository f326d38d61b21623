// Package schema installs and upgrades the database side: roles, migrations, then functions, in one transaction under a lock.
package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/sql"
)

const versionTable = "tinydev_impl.schema_version"

// Options say what an installation may do beyond its own schemas.
type Options struct {
	// Private means that the database is ours alone (the cluster of "tinydev up", our image): rights that PostgreSQL gives to
	// everybody on the schema public and on other databases are taken back. An adopted database is left as it is.
	Private bool
	Logger  *slog.Logger
	// LockTimeout is how long to wait for another installation; 0 means 30 s.
	LockTimeout time.Duration
	// Source replaces the embedded SQL, for tests.
	Source *Source
}

// Source is the SQL to install.
type Source struct {
	Migrations fs.FS // NNN_name.sql
	Functions  fs.FS // name.sql
	Grants     string
}

func embedded() (*Source, error) {
	migrations, err := fs.Sub(sql.Migrations, "migrations")
	if err != nil {
		return nil, err
	}
	functions, err := fs.Sub(sql.Functions, "functions")
	if err != nil {
		return nil, err
	}
	return &Source{Migrations: migrations, Functions: functions, Grants: sql.Grants}, nil
}

// Install brings the database behind conn to this binary's version and leaves it alone when it is there already.
//
// conn has to be a superuser's and is closed afterwards. All happens in one transaction, so a failure changes nothing. Several
// may run at once: one works, the others wait up to 30 s. Errors: forbidden not_superuser; conflict schema_newer,
// pg_cron_elsewhere; invalid pg_cron_missing, pg_cron_old, postgres_unsupported; unavailable migration_locked.
func Install(ctx context.Context, conn *pgx.Conn, opts Options) error {
	defer conn.Close(context.WithoutCancel(ctx))
	source := opts.Source
	if source == nil {
		var err error
		if source, err = embedded(); err != nil {
			return fmt.Errorf("read the embedded SQL: %w", err)
		}
	}
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("install the schema: %w", postgres.Fault(err, ""))
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if err := install(ctx, conn, source, opts); err != nil {
		if errors.Is(err, errLockHeld) {
			err = lockedBy(context.WithoutCancel(ctx), conn, tx, err)
		}
		return fmt.Errorf("install the schema: %w", postgres.Fault(err, ""))
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("install the schema: %w", postgres.Fault(err, ""))
	}
	return nil
}

func install(ctx context.Context, conn *pgx.Conn, source *Source, opts Options) error {
	if err := lock(ctx, conn, opts.LockTimeout); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "create extension if not exists pg_cron; create schema if not exists tinydev_impl"); err != nil {
		return err
	}
	if err := checkCron(ctx, conn); err != nil {
		return err
	}
	if opts.Private {
		if err := moveJobs(ctx, conn); err != nil {
			return err
		}
	}
	fresh, err := upToDate(ctx, conn, source)
	if err != nil || fresh {
		return err
	}
	if err := runMigrations(ctx, conn, source, opts.Logger); err != nil {
		return err
	}
	if err := applyFunctions(ctx, conn, source.Functions); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, source.Grants); err != nil {
		return fmt.Errorf("apply grants.sql: %w", postgres.Fault(err, ""))
	}
	if opts.Private {
		if err := closeToPublic(ctx, conn); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, "update tinydev_impl.instance set sql_sha256 = $1", source.digest())
	return err
}

// LockKey is the advisory lock of installations, the same that tern takes. Any user may hold it, hence the time limit and the
// holder's name in the error.
const LockKey int64 = 9628173550095224

var errLockHeld = errors.New("the installation's lock is held")

func lock(ctx context.Context, conn *pgx.Conn, timeout time.Duration) error {
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d", timeout.Milliseconds())); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "select pg_catalog.pg_advisory_xact_lock($1)", LockKey)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" {
		return fmt.Errorf("%w: %w", errLockHeld, err)
	}
	return err
}

// lockedBy says who holds the lock that cause was about.
func lockedBy(ctx context.Context, conn *pgx.Conn, tx pgx.Tx, cause error) error {
	holders := "another session"
	if err := tx.Rollback(ctx); err == nil {
		var names *string
		err := conn.QueryRow(ctx, `
select pg_catalog.string_agg(pg_catalog.format('%s (process %s, %s)', a.usename, a.pid, a.application_name), ', ')
  from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a using (pid)
 where l.locktype = 'advisory' and l.granted and (l.classid::bigint << 32) + l.objid::bigint = $1`, LockKey).Scan(&names)
		if err == nil && names != nil {
			holders = *names
		}
	}
	return fault.New(fault.Unavailable, "migration_locked", "the installation's lock is held by %s", holders).
		WithHint("wait for it, or end it with: select pg_terminate_backend(process)").Because(cause)
}

// upToDate reports whether this very SQL was installed last. Errors: conflict schema_newer.
func upToDate(ctx context.Context, conn *pgx.Conn, source *Source) (bool, error) {
	migrations, err := fs.Glob(source.Migrations, "*.sql")
	if err != nil {
		return false, err
	}
	var installed *int
	if err := conn.QueryRow(ctx, "select pg_catalog.to_regclass($1)::oid::int", versionTable).Scan(&installed); err != nil || installed == nil {
		return false, err
	}
	var version int
	if err := conn.QueryRow(ctx, "select version from "+versionTable).Scan(&version); err != nil {
		return false, err
	}
	if version > len(migrations) {
		return false, newer(version, len(migrations))
	}
	if version < len(migrations) {
		return false, nil
	}
	var digest string
	if err := conn.QueryRow(ctx, "select sql_sha256 from tinydev_impl.instance").Scan(&digest); err != nil {
		return false, err
	}
	return digest == source.digest(), nil
}

func newer(installed, known int) error {
	return fault.New(fault.Conflict, "schema_newer", "the database has schema version %d, this tinydev knows up to %d", installed, known).
		WithHint("install the newer tinydev that made it; nothing was changed")
}

// Check reports whether the database has this binary's schema version, for a server that may not migrate.
// Errors: conflict schema_newer, schema_older; unavailable when the database cannot be reached.
func Check(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) error {
	source, err := embedded()
	if err != nil {
		return err
	}
	migrations, err := fs.Glob(source.Migrations, "*.sql")
	if err != nil {
		return err
	}
	var version int
	err = q.QueryRow(ctx, "select version from "+versionTable).Scan(&version)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42501"):
		return fault.New(fault.Conflict, "schema_older", "the database has no TinyDevCRM schema").WithHint("run tinydev migrate as a superuser").Because(err)
	case err != nil:
		return postgres.Fault(err, "")
	case version > len(migrations):
		return newer(version, len(migrations))
	case version < len(migrations):
		return fault.New(fault.Conflict, "schema_older", "the database has schema version %d, this tinydev needs %d", version, len(migrations)).
			WithHint("run tinydev migrate as a superuser")
	}
	return nil
}

func runMigrations(ctx context.Context, conn *pgx.Conn, source *Source, logger *slog.Logger) error {
	migrator, err := migrate.NewMigratorEx(ctx, conn, versionTable, &migrate.MigratorOptions{DisableTx: true})
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	if err := migrator.LoadMigrations(source.Migrations); err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	migrator.OnStart = func(sequence int32, name, _, _ string) {
		if logger != nil {
			logger.Info("migrate", "version", sequence, "name", name)
		}
	}
	if err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

const installerMark = "-- runs as: installer\n"

// applyFunctions applies each file, those that need another one after it: what fails for a missing object is tried again
// once others are there.
func applyFunctions(ctx context.Context, conn *pgx.Conn, files fs.FS) error {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	// What fails for now is no news for PostgreSQL's log; what fails for good is returned.
	if _, err := conn.Exec(ctx, "set local log_min_messages = 'fatal'"); err != nil {
		return err
	}
	for len(names) > 0 {
		var later []string
		var last error
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			if err := applyFile(ctx, conn, string(text)); err != nil {
				last = fmt.Errorf("apply %s: %w", name, postgres.Fault(err, ""))
				if !missesObject(err) {
					return last
				}
				later = append(later, name)
			}
		}
		if len(later) == len(names) {
			return last
		}
		names = later
	}
	return nil
}

func applyFile(ctx context.Context, conn *pgx.Conn, text string) error {
	role := "set local role tinydev_owner"
	if strings.HasPrefix(text, installerMark) {
		role = "reset role"
	}
	if _, err := conn.Exec(ctx, "savepoint file"); err != nil {
		return err
	}
	_, err := conn.PgConn().Exec(ctx, role+";\n"+text+"\n;reset role").ReadAll()
	if err != nil {
		if _, back := conn.Exec(ctx, "rollback to savepoint file"); back != nil {
			return back
		}
		return err
	}
	_, err = conn.Exec(ctx, "release savepoint file")
	return err
}

func missesObject(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains([]string{"42P01", "42883", "42704", "42703"}, pg.Code)
}

// moveJobs tells the jobs where the server is now. Below 1.5 pg_cron connects to it for each run, at the address in the job's row.
func moveJobs(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `
update cron.job set nodename = pg_catalog.current_setting('cron.host'), nodeport = pg_catalog.current_setting('port')::int
 where (nodename, nodeport) is distinct from (pg_catalog.current_setting('cron.host'), pg_catalog.current_setting('port')::int)`)
	if err != nil {
		return fmt.Errorf("tell the jobs where the server is: %w", err)
	}
	return nil
}

// closeToPublic takes back what PostgreSQL gives to everybody by default.
func closeToPublic(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `do $$
declare
  v_database name;
begin
  revoke create on schema public from public;
  for v_database in select datname from pg_catalog.pg_database loop
    execute pg_catalog.format('revoke connect, temporary on database %I from public', v_database);
  end loop;
  execute pg_catalog.format('grant connect, temporary on database %I to tinydev_user, tinydev_server', pg_catalog.current_database());
end $$`)
	if err != nil {
		return fmt.Errorf("close the database to the public: %w", err)
	}
	return nil
}

func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var superuser bool
	err := conn.QueryRow(ctx, `select pg_catalog.current_setting('server_version_num')::int,
		(select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)`).Scan(&version, &superuser)
	if err != nil {
		return fmt.Errorf("ask the server's version: %w", postgres.Fault(err, ""))
	}
	if version < 120000 {
		return fault.New(fault.Invalid, "postgres_unsupported", "this is PostgreSQL %d; TinyDevCRM needs 12 or newer", version/10000)
	}
	if !superuser {
		return fault.New(fault.Forbidden, "not_superuser", "installing needs a superuser; %s is none", conn.Config().User).
			WithHint("set TINYDEV_ADMIN_DATABASE_URL to a superuser's URL; the server itself runs as tinydev_server")
	}
	var preloaded bool
	var home *string
	err = conn.QueryRow(ctx, `select pg_catalog.current_setting('shared_preload_libraries') ~ '(^|[ ,])pg_cron($|[ ,])',
		(select pg_catalog.current_setting('cron.database_name', true)
		  where not exists (select from pg_catalog.pg_extension where extname = 'pg_cron'))`).Scan(&preloaded, &home)
	if err != nil {
		return fmt.Errorf("ask for pg_cron: %w", postgres.Fault(err, ""))
	}
	if !preloaded {
		return fault.New(fault.Invalid, "pg_cron_missing", "pg_cron is not loaded in this PostgreSQL").
			WithHint("install pg_cron, set shared_preload_libraries = 'pg_cron' and cron.database_name = '%s' in postgresql.conf, and restart PostgreSQL", conn.Config().Database)
	}
	if home != nil && *home != conn.Config().Database && conn.Config().Database != "contrib_regression" {
		return fault.New(fault.Conflict, "pg_cron_elsewhere", "pg_cron lives in the database %s, not in %s", *home, conn.Config().Database).
			WithHint("use that database, or set cron.database_name = '%s' and restart PostgreSQL", conn.Config().Database)
	}
	return nil
}

var versionPattern = regexp.MustCompile(`^(\d+)\.(\d+)`)

func checkCron(ctx context.Context, conn *pgx.Conn) error {
	var version string
	if err := conn.QueryRow(ctx, "select extversion from pg_catalog.pg_extension where extname = 'pg_cron'").Scan(&version); err != nil {
		return err
	}
	match := versionPattern.FindStringSubmatch(version)
	if match == nil || match[1] == "1" && len(match[2]) == 1 && match[2] < "4" || match[1] == "0" {
		return fault.New(fault.Invalid, "pg_cron_old", "this database has pg_cron %s; 1.4 or newer is needed", version).
			WithHint("install a newer pg_cron, restart PostgreSQL, and run: alter extension pg_cron update")
	}
	return nil
}

func (s *Source) digest() string {
	h := sha256.New()
	for _, files := range []fs.FS{s.Migrations, s.Functions} {
		names, _ := fs.Glob(files, "*.sql") // the pattern is good, so there is no error
		slices.Sort(names)
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				continue // install reads it too and reports
			}
			fmt.Fprintf(h, "%s\n%d\n%s", name, len(text), text)
		}
	}
	h.Write([]byte(s.Grants))
	return hex.EncodeToString(h.Sum(nil))
}
