package main

import (
	"io"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: groupTools,
		Short:   "Print the version of this program and of the schema that it installs",
		Long: `Prints the version of this program, the Go it was built with, and the version of the schema that it installs and needs: a
database of a newer schema is refused, one of an older is upgraded by "tinydev migrate".

Example:
  tinydev version --json`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			number, err := schema.Version()
			if err != nil {
				return err
			}
			answer := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				Schema  int    `json:"schema"`
			}{version, runtime.Version(), number}
			return show(cmd, answer, func(w io.Writer) error {
				return console.Fields(w, [2]string{"tinydev", version}, [2]string{"go", answer.Go}, [2]string{"schema", strconv.Itoa(number)})
			})
		},
	}
	asJSON(cmd)
	return cmd
}
