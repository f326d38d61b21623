package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// serverRole is the login of the server.
const serverRole = postgres.ServerRole

// databasePatience is how long a start waits for a database that is not up yet.
const databasePatience = time.Minute

// addresses says how the database is reached; admin is "" where the server may not migrate. signer, which may be nil, is for the
// server and users only.
type addresses struct {
	server, admin string
	signer        *postgres.Signer
}

// credentials are what the server logs in with, as itself.
func (a addresses) credentials() []postgres.Credential {
	if a.signer == nil {
		return nil
	}
	return []postgres.Credential{a.signer.Credential}
}

// connect opens a connection, waiting for a database that is still starting. Errors: unavailable database_unavailable after a
// minute; at once what waiting does not heal.
func connect(ctx context.Context, url, name string, log *slog.Logger, credentials ...postgres.Credential) (*pgx.Conn, error) {
	deadline := time.Now().Add(databasePatience)
	said := false
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		conn, err := postgres.Connect(ctx, url, name, credentials...)
		if err == nil || fault.CodeOf(err) != "database_unavailable" || ctx.Err() != nil {
			return conn, err
		}
		if time.Now().After(deadline) {
			return nil, fault.New(fault.Unavailable, "database_unavailable", "the database did not answer within %s", databasePatience).
				WithHint("is PostgreSQL up, and is %s right?", config.Secret(url)).Because(err)
		}
		if !said {
			said = true
			log.Warn("the database is not up yet, waiting for it", "for", databasePatience, "error", errors.Unwrap(err))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the database: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// resolve finds out how to reach the database that the configuration names.
func resolve(ctx context.Context, cfg config.Config, log *slog.Logger) (addresses, error) {
	a := addresses{server: cfg.DatabaseURL.Reveal(), admin: cfg.AdminDatabaseURL.Reveal()}
	if a.server == "" && a.admin == "" {
		return a, fault.New(fault.Invalid, "database_url_missing", "no database is named").
			WithHint("set TINYDEV_DATABASE_URL, such as postgres://tinydev_server@localhost/tinydev; tinydev up brings a database of its own")
	}
	var err error
	if cfg.CACert != "" {
		if a.signer, err = postgres.NewSigner(cfg.CACert, cfg.CAKey, log); err != nil {
			return a, err
		}
	}
	if a.server == "" {
		a.server, err = postgres.AsUser(a.admin, serverRole)
		return a, err
	}
	if a.admin != "" {
		return a, nil
	}
	var credentials []postgres.Credential
	if role, err := postgres.UserOf(a.server); err != nil {
		return a, err
	} else if role == serverRole { // a superuser's URL brings what it needs
		credentials = a.credentials()
	}
	conn, err := connect(ctx, a.server, "tinydev start", log, credentials...)
	if err != nil {
		return a, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var super bool
	if err := conn.QueryRow(ctx, "select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user").Scan(&super); err != nil {
		return a, fmt.Errorf("ask who we are: %w", postgres.Fault(err, ""))
	}
	if super {
		a.admin = a.server
		a.server, err = postgres.AsUser(a.admin, serverRole)
	}
	return a, err
}

// install brings the database to this version over a superuser's connection, and makes the user.
func install(ctx context.Context, admin string, private bool, user string, cfg config.Config, log *slog.Logger) error {
	conn, err := connect(ctx, admin, "tinydev install", log)
	if err != nil {
		return err
	}
	if err := schema.Install(ctx, conn, schema.Options{Private: private, Logger: log}); err != nil {
		return err
	}
	if conn, err = connect(ctx, admin, "tinydev install", log); err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if cfg.EventRetention != 0 {
		_, err := conn.Exec(ctx, "update tinydev_impl.instance set event_retention = $1 where event_retention <> $1", time.Duration(cfg.EventRetention))
		if err != nil {
			return fmt.Errorf("set how long events are kept: %w", postgres.Fault(err, ""))
		}
	}
	if user == "" {
		return nil
	}
	made, err := auth.EnsureUser(ctx, conn, user)
	if made {
		log.Info("made the user", "user", user)
	}
	return err
}

// Migrate installs or upgrades the schema in the database that the configuration names, as a superuser, makes the user if one is
// named, and changes nothing else in it. Errors: those of schema.Install; invalid database_url_missing; forbidden not_superuser.
func Migrate(ctx context.Context, cfg config.Config, out io.Writer) error {
	log, err := logger(cfg)
	if err != nil {
		return err
	}
	a, err := resolve(ctx, cfg, log)
	if err != nil {
		return err
	}
	if a.admin == "" {
		return fault.New(fault.Forbidden, "not_superuser", "migrating needs a superuser, and %s is none", cfg.DatabaseURL).
			WithHint("set TINYDEV_ADMIN_DATABASE_URL to a superuser's URL")
	}
	if err := install(ctx, a.admin, false, cfg.User, cfg, log); err != nil {
		return err
	}
	fmt.Fprintln(out, "The schema is up to date.")
	return nil
}
