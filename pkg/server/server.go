// Package server wires all parts together, starts them in order and stops them in the reverse one.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// Version is shown in /openapi.json and in the metrics; main sets it before anything else.
var Version = "unknown"

// Up runs a private PostgreSQL in the data directory and the server on it, until ctx ends; PostgreSQL stops last.
//
// It prints the address on out once all is ready. Errors: those of cluster.Open and Start, schema.Install and auth.EnsureUser;
// conflict address_in_use.
func Up(ctx context.Context, cfg config.Config, out io.Writer) (err error) {
	log, err := logger(cfg)
	if err != nil {
		return err
	}
	user, err := chooseUser(cfg, out)
	if err != nil {
		return err
	}
	listener, err := listen(cfg, log)
	if err != nil {
		return err
	}
	defer listener.Close()
	pg, err := cluster.Open(ctx, cluster.Config{DataDir: cfg.DataDir, BinDir: cfg.PostgresBin, Logger: log})
	if err != nil {
		return err
	}
	defer func() {
		log.Info("stopping PostgreSQL")
		err = errors.Join(err, pg.Stop(context.WithoutCancel(ctx)))
	}()
	if err := pg.Start(ctx); err != nil {
		return startEnded(ctx, err)
	}
	if err := install(ctx, pg.URL(cluster.Superuser, cluster.Database), true, user, cfg, log); err != nil {
		return startEnded(ctx, err)
	}
	s := &server{cfg: cfg, log: log, user: user, listener: listener, out: out,
		url: pg.URL(serverRole, cluster.Database), userURL: pg.URL(user, cluster.Database)}
	return s.run(ctx)
}

// Serve runs the server on the database that the configuration names, until ctx ends.
//
// It migrates where it is given a superuser, else it checks the version. What is in the database besides stays as it is. A
// database that is not up is waited for, up to a minute. Errors: as Up; conflict schema_older, schema_newer; invalid
// database_url_missing; unavailable database_unavailable.
func Serve(ctx context.Context, cfg config.Config, out io.Writer) error {
	log, err := logger(cfg)
	if err != nil {
		return err
	}
	user, err := chooseUser(cfg, out)
	if err != nil {
		return err
	}
	lock, err := takeLock(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close() // closing unlocks
	listener, err := listen(cfg, log)
	if err != nil {
		return err
	}
	defer listener.Close()
	a, err := resolve(ctx, cfg, log)
	if err != nil {
		return startEnded(ctx, err)
	}
	if a.admin != "" {
		if err := install(ctx, a.admin, false, user, cfg, log); err != nil {
			return startEnded(ctx, err)
		}
	}
	if err := check(ctx, a, user, log); err != nil {
		return startEnded(ctx, err)
	}
	userURL, err := postgres.AsUser(a.server, user)
	if err != nil {
		return err
	}
	s := &server{cfg: cfg, log: log, user: user, listener: listener, out: out, url: a.server, userURL: userURL, signer: a.signer}
	return s.run(ctx)
}

// check sees to it that the server's login is there, the schema of this version, and the user a user.
func check(ctx context.Context, a addresses, user string, log *slog.Logger) error {
	conn, err := connect(ctx, a.server, "tinydev start", log, a.credentials()...)
	if err != nil {
		return fmt.Errorf("log in as the server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if role := conn.Config().User; role != serverRole {
		return fault.New(fault.Invalid, "server_role_wrong", "the server logs in as %s, not as %s", role, serverRole).
			WithHint("TINYDEV_DATABASE_URL names %s; a superuser belongs into TINYDEV_ADMIN_DATABASE_URL", serverRole)
	}
	if err := schema.Check(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "select tinydev_impl.require_session($1)", user); err != nil {
		err := postgres.Fault(err, "")
		if f := fault.As(err); f != nil && f.Code == "not_a_user" {
			f.WithHint("choose another with --user or TINYDEV_USER, or make it as a superuser: select tinydev.create_user('%s', admin => true)", user)
		}
		return err
	}
	return nil
}

// startEnded gives nil for a start that was interrupted.
func startEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func logger(cfg config.Config) (*slog.Logger, error) {
	return observe.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
}

// chooseUser gives the user that the server works for, and says so when the login's name had to change.
func chooseUser(cfg config.Config, out io.Writer) (string, error) {
	if cfg.User != "" {
		return cfg.User, nil
	}
	login := auth.Login()
	name, mapped := auth.UserName(login)
	if mapped {
		_, err := fmt.Fprintf(out, "The login %q becomes the user and workspace %s; --user or TINYDEV_USER chooses another.\n", login, name)
		return name, err
	}
	return name, nil
}

// listen opens the address; when the default one is taken and none was asked for, a free one. Errors: conflict address_in_use.
func listen(cfg config.Config, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil && !cfg.IsSet("TINYDEV_LISTEN") {
		log.Warn("the usual address is taken, choosing another", "address", cfg.Listen, "error", err)
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fault.New(fault.Conflict, "address_in_use", "cannot listen on %s: %v", cfg.Listen, err).
			WithHint("choose another with --listen or TINYDEV_LISTEN; port 0 takes a free one").Because(err)
	}
	return l, nil
}

// file gives a path in the data directory.
func (s *server) file(name string) string { return filepath.Join(s.cfg.DataDir, name) }

// Time limits of a start: the relay; and of a stop: in-flight requests, then what ends them by force.
const (
	relayPatience   = 10 * time.Second
	requestPatience = 8 * time.Second
	closePatience   = 3 * time.Second
)
