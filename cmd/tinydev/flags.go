package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
)

// variableAnnotation marks a flag with the variable that it stands in for.
const variableAnnotation = "variable"

// Settings that groups of commands take as flags.
var (
	serverSettings = []string{"data-dir", "listen", "user", "tls-cert", "tls-key", "hosts", "insecure-listen",
		"max-upload-bytes", "max-spool-bytes", "max-cell-bytes", "max-sessions", "max-sessions-per-user", "max-streams", "max-streams-per-token",
		"event-retention", "log-level", "log-format"}
	clientSettings = []string{"data-dir", "url", "token"}
)

// settings gives cmd a flag for each setting, with the help and the default that config knows.
func settings(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		variable := config.Prefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		field := fieldOf(variable)
		flag := cmd.Flags().VarPF(&setting{text: field.Tag.Get("default")}, name, "", field.Tag.Get("help")+" ("+variable+")")
		flag.Annotations = map[string][]string{variableAnnotation: {variable}}
		if field.Type.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// fieldOf gives the field of the configuration that a variable sets.
func fieldOf(variable string) reflect.StructField {
	fields := reflect.VisibleFields(reflect.TypeFor[config.Config]())
	for i, name := range config.Names() {
		if name == variable {
			return fields[i]
		}
	}
	panic("there is no variable " + variable)
}

// setting is the text of a flag; config checks it.
type setting struct{ text string }

func (s *setting) String() string        { return s.text }
func (s *setting) Set(text string) error { s.text = text; return nil }
func (s *setting) Type() string          { return "value" }

// load reads the configuration with the flags of cmd.
func load(cmd *cobra.Command) (config.Config, error) {
	given := map[string]string{}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if variable, ok := flag.Annotations[variableAnnotation]; ok {
			given[variable[0]] = flag.Value.String()
		}
	})
	return config.LoadWith(given)
}

// connect gives a client of the server that the flags, the environment or the data directory name.
func connect(cmd *cobra.Command) (*client.Client, error) {
	cfg, err := load(cmd)
	if err != nil {
		return nil, err
	}
	return client.New(client.Locate(cfg.URL, cfg.Token.Reveal(), cfg.DataDir)), nil
}

// withClient makes the body of a command that calls the server.
func withClient(run func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := connect(cmd)
		if err != nil {
			return err
		}
		return run(cmd.Context(), c, cmd, args)
	}
}

// asJSON adds --json.
func asJSON(cmd *cobra.Command) { cmd.Flags().Bool("json", false, "print JSON for machines") }

// dryRunFlag adds --dry-run.
func dryRunFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("dry-run", false, "change nothing; print the SQL that would run")
}

func on(cmd *cobra.Command, flag string) bool {
	value, err := cmd.Flags().GetBool(flag)
	return err == nil && value
}

// show prints a value as JSON with --json, else for people.
func show(cmd *cobra.Command, value any, people func(w io.Writer) error) error {
	if on(cmd, "json") {
		return console.JSON(cmd.OutOrStdout(), value)
	}
	return people(cmd.OutOrStdout())
}

// showChange prints what a changing call made, or the SQL of a dry run.
func showChange[T any](cmd *cobra.Command, made T, sql []string, people func(w io.Writer) error) error {
	if !on(cmd, "dry-run") {
		return show(cmd, made, people)
	}
	plan := struct {
		SQL []string `json:"sql"`
	}{sql}
	return show(cmd, plan, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, strings.Join(sql, "\n"))
		return err
	})
}

// argument reads a text argument; - is the standard input.
func argument(cmd *cobra.Command, text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	all, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return "", fmt.Errorf("read the standard input: %w", err)
	}
	return strings.TrimSpace(string(all)), nil
}
