package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Exit codes of the command line.
const (
	ExitDone        = 0
	ExitInternal    = 1
	ExitUsage       = 2 // a wrong command, wrong input, or a wrong configuration
	ExitUnreachable = 3 // the database or the server does not answer
	ExitSchema      = 4 // the database has another schema version
	ExitErrors      = 5 // the doctor found errors
	ExitInterrupted = 130
)

// Exit is the exit code of a program that ran in our stead and said itself what went wrong.
type Exit int

// Error implements error.
func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ExitCode gives the exit code for an error.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	var exit Exit
	if errors.As(err, &exit) {
		return int(exit)
	}
	f := fault.As(err)
	if f == nil {
		if errors.Is(err, context.Canceled) {
			return ExitInterrupted
		}
		return ExitInternal
	}
	switch f.Code {
	case "schema_newer", "schema_older":
		return ExitSchema
	}
	switch f.Kind {
	case fault.Internal, fault.Storage:
		return ExitInternal
	case fault.Unavailable:
		return ExitUnreachable
	}
	return ExitUsage
}

// withSource is an error with the text that it is about.
type withSource struct {
	error
	text string
}

func (e withSource) Unwrap() error { return e.error }

// WithSource gives err the user's own SQL, so that Error can point at the place in it. A nil err stays nil.
func WithSource(err error, text string) error {
	if err == nil {
		return nil
	}
	return withSource{err, text}
}

// Error writes an error for a person: what happened, where, and what to do next.
func Error(w io.Writer, err error) {
	var exit Exit
	if errors.As(err, &exit) {
		return
	}
	f := fault.As(err)
	if f == nil {
		fmt.Fprintf(w, "error: %s\n", Printable(err.Error()))
		return
	}
	fmt.Fprintf(w, "error: %s\n", Printable(f.Message))
	var source withSource
	if errors.As(err, &source) {
		caret(w, source.text, number(f.Fields["line"]), number(f.Fields["column"]))
	}
	if detail, ok := f.Fields["detail"].(string); ok {
		fmt.Fprintf(w, "detail: %s\n", Printable(detail))
	}
	mistakes(w, f.Fields["errors"])
	if f.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", Printable(f.Hint))
	}
}

// mistakes lists those after the first of a file, which the message itself tells.
func mistakes(w io.Writer, list any) {
	items, _ := list.([]any)
	for i, item := range items {
		mistake, ok := item.(map[string]any)
		if i == 0 || !ok {
			continue
		}
		column, found := mistake["column"]
		if !found {
			column = mistake["column_number"]
		}
		fmt.Fprintf(w, "  line %d, column %s: %s\n", number(mistake["line"]), Printable(fmt.Sprint(column)), Printable(fmt.Sprint(mistake["reason"])))
	}
}

// caret writes the line of text and a mark under its column; line and column count from 1, in characters.
func caret(w io.Writer, text string, line, column int) {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) || column < 1 {
		return
	}
	shown := []rune(strings.ReplaceAll(Printable(lines[line-1]), "\t", " "))
	column = min(column, len(shown)+1)
	const before, after = 60, 40
	from, to := max(0, column-1-before), min(len(shown), column-1+after)
	label := fmt.Sprintf("line %d: ", line)
	fmt.Fprintf(w, "%s%s\n%s^\n", label, string(shown[from:to]), strings.Repeat(" ", len(label)+column-1-from))
}

func number(value any) int {
	switch n := value.(type) {
	case float64:
		return int(n)
	case int:
		return n
	case int64:
		return int(n)
	}
	return 0
}
