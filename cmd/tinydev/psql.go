package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func newPsql() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "psql [--user NAME] [-- PSQL-ARGUMENTS]",
		GroupID: groupTools,
		Short:   "Open psql on the database of the running server",
		Long: `Runs psql on the database of the server that runs on the data directory, as the first user or as --user NAME. What stands after
-- goes to psql. psql is taken from PATH, else from beside the PostgreSQL server.

The private cluster of "tinydev up" is open to whoever may enter its socket's folder. On a PostgreSQL elsewhere psql gets a
certificate for the day, in a folder that is removed when it ends; that takes the right to read the server's certificate authority.

Example:
  tinydev psql
  tinydev psql --user bob
  tinydev psql -- -c 'select * from tinydev.job'

The whole way in SQL:
  create table friends ("Name" text, "Date" date);
  \copy friends from friends.csv with (format csv, header)
  select tinydev.create_view('bdays_today', 'select * from friends where …');
  select tinydev.schedule('bdays_today', '5 seconds');
  listen tinydev;
  select * from tinydev.read_events();
\df+ tinydev.* is the manual.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			running, err := client.ReadRunning(cfg.DataDir)
			if err != nil {
				return err
			}
			user, err := cmd.Flags().GetString("user")
			if err != nil {
				return err
			}
			if user == "" {
				user = running.User
			}
			program, err := findPsql(cfg.PostgresBin)
			if err != nil {
				return err
			}
			if running.CACert != "" {
				return psqlByCertificate(program, running, user, args)
			}
			url, err := postgres.AsUser(running.DatabaseURL, user)
			if err != nil {
				return err
			}
			if err := syscall.Exec(program, append(psqlArguments(url), args...), os.Environ()); err != nil {
				return fmt.Errorf("run %s: %w", program, err)
			}
			return nil
		},
	}
	settings(cmd, "data-dir", "postgres-bin")
	cmd.Flags().String("user", "", "open it as this user instead of the first one")
	return cmd
}

// psqlArguments begins the arguments of psql. The context of our errors names functions that nobody called by hand.
func psqlArguments(url string) []string { return []string{"psql", "--set=SHOW_CONTEXT=never", url} }

// certificateLife is how long a certificate for psql and other programs holds: they need it for each connection.
const certificateLife = 24 * time.Hour

// withCertificate gives the database's URL with a certificate of user, whose files are in dir.
func withCertificate(running client.Running, user, dir string) (string, error) {
	if err := postgres.MayHaveCertificate(user); err != nil {
		return "", err
	}
	authority, err := postgres.LoadAuthority(running.CACert, running.CAKey)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("find %s: %w", dir, err)
	}
	certFile, keyFile, err := authority.Keep(dir, user, certificateLife)
	if err != nil {
		return "", err
	}
	return postgres.WithCertificate(running.DatabaseURL, user, certFile, keyFile)
}

// psqlByCertificate runs psql to its end, and so its files can be removed. Ctrl-C reaches psql from the terminal, which cancels
// the query; what would end this program ends psql first.
func psqlByCertificate(program string, running client.Running, user string, args []string) (err error) {
	dir, err := os.MkdirTemp("", "tinydev-psql-") // 0700
	if err != nil {
		return fmt.Errorf("make a folder for the certificate: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP)
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir))
		signal.Stop(signals)
		close(signals)
	}()
	url, err := withCertificate(running, user, dir)
	if err != nil {
		return err
	}
	psql := exec.Command(program, append(psqlArguments(url)[1:], args...)...)
	psql.Stdin, psql.Stdout, psql.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := psql.Start(); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM || s == syscall.SIGHUP {
				_ = psql.Process.Signal(s) // it may have ended by itself
			}
		}
	}()
	var ended *exec.ExitError
	if err := psql.Wait(); errors.As(err, &ended) {
		return console.Exit(max(ended.ExitCode(), 1)) // -1 is a signal
	} else if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}

// findPsql gives the path of psql.
func findPsql(bin string) (string, error) {
	if program, err := exec.LookPath("psql"); err == nil {
		return program, nil
	}
	inst, err := cluster.Find(bin)
	if err == nil {
		return exec.LookPath(filepath.Join(inst.BinDir, "psql"))
	}
	return "", fault.New(fault.NotFound, "psql_not_found", "psql is neither in PATH nor beside a PostgreSQL server").
		WithHint("install PostgreSQL's client, or connect another one to: tinydev env").Because(err)
}
