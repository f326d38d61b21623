package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func newCA() *cobra.Command {
	cmd := family("ca", "Certificates for logins to a PostgreSQL that is elsewhere",
		`Makes the certificates by which a server that runs with "tinydev serve" logs in to PostgreSQL over a network: as itself and as each of
its users, without a password. PostgreSQL trusts a certificate authority of yours; the server holds its key and signs, in memory and
for ten minutes, a certificate whose CN is the role. Whoever can read that key is every user: it stays where the server runs.
"tinydev up" needs none of this.

Example:
  tinydev ca init --host db.example.org                   # the authority, and PostgreSQL's own certificate
  tinydev ca hba --server-address 10.0.0.5/32             # who may log in, for pg_hba.conf
  TINYDEV_CA_CERT=.tinydev/ca/ca.crt TINYDEV_CA_KEY=.tinydev/ca/ca.key tinydev serve

deploy/prepare-database does all that PostgreSQL needs, step by step.`,
		newCAInit(), newCAHBA(), newCAUser())
	cmd.GroupID = groupServer
	return cmd
}

// caDir adds --dir.
func caDir(cmd *cobra.Command) {
	settings(cmd, "data-dir")
	cmd.Flags().String("dir", "", "folder of the authority (default <data-dir>/ca)")
}

// folderOf gives the folder that --dir or the data directory names.
func folderOf(cmd *cobra.Command, cfg config.Config) (string, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err != nil {
		return "", err
	}
	if dir == "" {
		dir = filepath.Join(cfg.DataDir, "ca")
	}
	return filepath.Abs(dir)
}

func newCAInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the authority, and with --host PostgreSQL's own certificate",
		Long: `Makes ca.crt and ca.key (mode 0600) in <data-dir>/ca or --dir, good for ten years, and with --host server.crt and server.key, by
which PostgreSQL proves who it is under these names. Nothing that is there is overwritten, so it can be run again.
It prints what to do with the files.

Example:
  tinydev ca init --host db.example.org --host 10.0.0.7 --out postgres-tls`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			dir, err := folderOf(cmd, cfg)
			if err != nil {
				return err
			}
			hosts, err := cmd.Flags().GetStringArray("host")
			if err != nil {
				return err
			}
			out, err := cmd.Flags().GetString("out")
			if err != nil {
				return err
			}
			if out != "" && len(hosts) == 0 {
				return usageFault(cmd, fmt.Errorf("--out is for PostgreSQL's certificate, which needs --host"))
			}
			return makeAuthority(cmd, dir, hosts, out)
		},
	}
	caDir(cmd)
	cmd.Flags().StringArray("host", nil, "name or address under which PostgreSQL is reached; may be repeated")
	cmd.Flags().String("out", "", "folder for PostgreSQL's files: server.crt, server.key and a copy of ca.crt (default that of the authority)")
	return cmd
}

func makeAuthority(cmd *cobra.Command, dir string, hosts []string, out string) error {
	authority, made, err := postgres.MakeAuthority(dir)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	say := "There is a certificate authority already"
	if made {
		say = "Made a certificate authority"
	}
	cert, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	fmt.Fprintf(w, `%s, good until %s:

  %s   PostgreSQL trusts what it signs; clients check PostgreSQL by it
  %s   signs; whoever can read it is every user, so it stays where the server runs

`, say, authority.Until().UTC().Format(time.DateOnly), cert, key)
	host := "db.example.org"
	if len(hosts) > 0 {
		host = hosts[0]
		if out == "" {
			out = dir
		}
		if out, err = filepath.Abs(out); err != nil {
			return fmt.Errorf("find %s: %w", out, err)
		}
		if made, err = authority.MakeServer(out, hosts); err != nil {
			return err
		}
		say = "PostgreSQL has a certificate already"
		if made {
			say = "Made PostgreSQL's certificate"
		}
		fmt.Fprintf(w, `%s. On PostgreSQL's machine, copy server.crt, server.key and ca.crt from
%s to a folder that only its user may enter, such as the data folder
("show data_directory"); server.key belongs to that user and has mode 0600. In postgresql.conf, with the path where they are elsewhere:

  ssl = on
  ssl_ca_file = 'ca.crt'
  ssl_cert_file = 'server.crt'
  ssl_key_file = 'server.key'

`, say, out)
	}
	_, err = fmt.Fprintf(w, `Then put above what is in pg_hba.conf, and reload ("select pg_reload_conf()"):

  tinydev ca hba --server-address 10.0.0.5/32     # from where the server connects

The server logs in with:

  TINYDEV_CA_CERT=%s
  TINYDEV_CA_KEY=%s
  TINYDEV_DATABASE_URL='postgres://tinydev_server@%s/tinydev?sslmode=verify-full&sslrootcert=%s'
`, quote(cert), quote(key), host, cert)
	return err
}

func newCAHBA() *cobra.Command {
	var access postgres.Access
	cmd := &cobra.Command{
		Use:   "hba",
		Short: "Print a pg_hba.conf that lets in the server, users, and nobody else",
		Long: `Prints lines for pg_hba.conf, for PostgreSQL 12 to 18: the superuser on PostgreSQL's own machine alone; from the server's address
tinydev_server and the users by certificate; users from elsewhere by password or certificate; all of them over TLS. Put above other
lines, since the first that fits decides, they leave everybody else's logins as they are.

From the server's address users have certificates only: who is to come by password comes from another.

Example:
  tinydev ca hba --database crm --server-address 10.0.0.5/32 > pg_hba.conf
  tinydev ca hba --server-address all --people cert        # certificates for everybody`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := access.HBA()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().StringVar(&access.Database, "database", "tinydev", "database")
	cmd.Flags().StringVar(&access.ServerAddress, "server-address", "samehost", "from where the server connects: 10.0.0.5/32, samehost (PostgreSQL's own machine), samenet or all")
	cmd.Flags().StringVar(&access.People, "people", "scram", "how people log in from elsewhere: scram (passwords) or cert")
	cmd.Flags().StringVar(&access.Superuser, "superuser", "postgres", "the superuser; empty leaves its logins as they are")
	cmd.Flags().StringVar(&access.Map, "map", "", "map of pg_ident.conf, where the operating system calls the superuser otherwise")
	return cmd
}

func newCAUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user NAME",
		Short: "Make a certificate with which a person logs in",
		Long: `Writes NAME.crt and NAME.key, by which psql and any other client logs in as the user NAME where pg_hba.conf lets people in by
certificate ("tinydev ca hba --people cert"). There is none for superusers, nor for roles whose names begin with tinydev or pg_.

A certificate cannot be taken back: keep --days short. Dropping the user, or "alter role NAME nologin", keeps new logins out.

Example:
  tinydev ca user bob --days 7 --out bob`,
		Args: takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			days, err := cmd.Flags().GetInt("days")
			if err != nil {
				return err
			}
			if days < 1 || days > 3650 {
				return usageFault(cmd, fmt.Errorf("--days is 1 to 3650"))
			}
			out, err := cmd.Flags().GetString("out")
			if err != nil {
				return err
			}
			dir, err := folderOf(cmd, cfg)
			if err != nil {
				return err
			}
			caCert, caKey := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
			if !cmd.Flags().Changed("dir") && cfg.CACert != "" {
				caCert, caKey = cfg.CACert, cfg.CAKey
			}
			return makeUserCertificate(cmd, args[0], caCert, caKey, out, time.Duration(days)*24*time.Hour, cfg.DatabaseURL.Reveal())
		},
	}
	caDir(cmd)
	settings(cmd, "database-url", "ca-cert", "ca-key")
	cmd.Flags().Int("days", 30, "how long it is good")
	cmd.Flags().String("out", ".", "folder for the files")
	return cmd
}

func makeUserCertificate(cmd *cobra.Command, name, caCert, caKey, out string, lifetime time.Duration, database string) error {
	if err := postgres.MayHaveCertificate(name); err != nil {
		return err
	}
	authority, err := postgres.LoadAuthority(caCert, caKey)
	if err != nil {
		return err
	}
	pair, err := authority.Client(name, lifetime)
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return fmt.Errorf("find %s: %w", out, err)
	}
	certFile, keyFile, err := pair.Write(out, name)
	if err != nil {
		return err
	}
	until := time.Now().Add(lifetime)
	if until.After(authority.Until()) {
		until = authority.Until()
	}
	if caCert, err = filepath.Abs(caCert); err != nil {
		return fmt.Errorf("find %s: %w", caCert, err)
	}
	if database == "" {
		database = "postgres://db.example.org/tinydev?sslmode=verify-full&sslrootcert=" + caCert
	}
	url, err := postgres.WithCertificate(database, name, certFile, keyFile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `Wrote %s and
%s, by which %s logs in until %s. With these and
%s, by which clients check PostgreSQL:

  psql %s
`, certFile, keyFile, name, until.UTC().Format(time.DateOnly), caCert, quote(url))
	return err
}
