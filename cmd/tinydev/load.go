package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newLoad() *cobra.Command {
	var options client.Load
	var types []string
	cmd := &cobra.Command{
		Use:     "load FILE",
		GroupID: groupData,
		Short:   "Load a CSV file into a table, which is made when it does not exist",
		Long: `Sends a CSV file of any size to the server, which finds its encoding, its delimiter and the types of its columns (looking at
every row), makes the table and loads all rows, or none. Into a table that exists, columns are matched by the names in the header.
The table is named after the file unless --table says otherwise. FILE - is the standard input.

The same content into the same table a second time is refused, unless --force is given.

Example:
  tinydev load friends.csv --preview            # what the server sees in it; nothing is stored
  tinydev load friends.csv --types Phone=text
  zcat sales.csv.gz | tinydev load - --table sales

Next: tinydev view create NAME 'select … from friends'`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			var err error
			if options.Types, err = pairs(types); err != nil {
				return err
			}
			if options.Table == "" && args[0] == "-" && !on(cmd, "preview") {
				return fault.New(fault.Invalid, "usage", "the standard input has no name").WithHint("name the table with --table")
			}
			if options.Table == "" {
				options.Table = tableName(args[0])
			}
			file, size, err := openFile(cmd, args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			options.FileName = filepath.Base(args[0])
			var body io.Reader = file
			done := func() {}
			if console.IsTerminal(os.Stderr) && !on(cmd, "json") {
				progress := console.NewProgress(file, os.Stderr, size)
				body, done = progress, progress.Close
			}
			if on(cmd, "preview") {
				preview, err := c.PreviewLoad(ctx, options, body)
				done()
				if err != nil {
					return err
				}
				return show(cmd, preview, func(w io.Writer) error { return printPreview(w, preview) })
			}
			loaded, err := c.Load(ctx, options, body, on(cmd, "dry-run"))
			done()
			if f := fault.As(err); f != nil && f.Code == "already_loaded" {
				return f.WithHint("--force loads it again")
			}
			if err != nil {
				return err
			}
			return showChange(cmd, loaded.Made, loaded.SQL, func(w io.Writer) error { return printLoaded(w, loaded.Made) })
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Table, "table", "", "the table; default the name of the file without its ending")
	flags.StringVar(&options.Delimiter, "delimiter", "", "one character, or comma, semicolon, tab, pipe; default found in the file")
	flags.StringVar(&options.Encoding, "encoding", "", "utf-8, utf-16le, windows-1252, …; default found in the file")
	flags.StringVar(&options.Names, "names", "", "names of the columns: exact (the default) or snake_case")
	flags.StringArrayVar(&types, "types", nil, "type of a column, as NAME=TYPE; may be repeated")
	flags.StringVar(&options.Mode, "mode", "", "create (the table must not exist) or append (it must); default either")
	flags.BoolVar(&options.Force, "force", false, "load even when the same content is in the table already")
	flags.Bool("preview", false, "show the columns, their types and the first rows; store nothing")
	dryRunFlag(cmd)
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

func openFile(cmd *cobra.Command, name string) (file io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fault.New(fault.Invalid, "file_unreadable", "the file cannot be read: %v", err).Because(err)
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		f.Close()
		return nil, 0, fault.New(fault.Invalid, "file_unreadable", "%s is not a file", name).Because(err)
	}
	return f, info.Size(), nil
}

var unfitForName = regexp.MustCompile(`[^a-z0-9_]+`)

// tableName makes a name that needs no quotes out of a file's: "My Friends.csv" is my_friends.
func tableName(file string) string {
	base := filepath.Base(file)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Trim(unfitForName.ReplaceAllString(strings.ToLower(base), "_"), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "t_" + name
	}
	return name[:min(len(name), 63)]
}

// pairs reads NAME=VALUE words; the last = divides, since types hold none.
func pairs(words []string) (map[string]string, error) {
	read := map[string]string{}
	for _, word := range words {
		at := strings.LastIndex(word, "=")
		if at < 1 || at == len(word)-1 {
			return nil, fault.New(fault.Invalid, "usage", "--types %q cannot be read", word).WithHint("write it as COLUMN=TYPE, such as Phone=text")
		}
		read[word[:at]] = word[at+1:]
	}
	return read, nil
}

func printLoaded(w io.Writer, loaded client.Loaded) error {
	did := "appended to"
	if loaded.Created {
		did = "made"
	}
	fmt.Fprintf(w, "%s %s: %s in %s (upload %d)\n", did, loaded.Table, console.Count(loaded.Rows, "row"),
		console.Count(int64(len(loaded.Columns)), "column"), loaded.UploadID)
	return printFileColumns(w, loaded.Columns)
}

func printFileColumns(w io.Writer, columns []client.Column) error {
	var rows [][]string
	for _, column := range columns {
		because := column.Note
		if column.Because != nil {
			because = strings.TrimLeft(fmt.Sprintf("%s; line %d has %q", because, column.Because.Line, column.Because.Value), "; ")
		}
		rows = append(rows, []string{column.Name, column.Type, because})
	}
	return console.Table(w, []string{"column", "type", "because"}, rows)
}

func printPreview(w io.Writer, preview client.Preview) error {
	fmt.Fprintf(w, "%s, %s, delimiter %q\n", console.Count(preview.Rows, "row"), preview.Encoding, preview.Delimiter)
	if err := printFileColumns(w, preview.Columns); err != nil {
		return err
	}
	var heading []string
	for _, column := range preview.Columns {
		heading = append(heading, column.Name)
	}
	fmt.Fprintln(w)
	return console.Table(w, heading, texts(preview.Sample))
}

// texts shows NULL as nothing.
func texts(rows [][]*string) [][]string {
	shown := make([][]string, len(rows))
	for i, row := range rows {
		shown[i] = make([]string, len(row))
		for j, cell := range row {
			if cell != nil {
				shown[i][j] = *cell
			}
		}
	}
	return shown
}
