package ingest

import (
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// Limits that hold when Options does not say otherwise.
const (
	DefaultMaxCellBytes = 16 << 20 // one cell, in bytes of UTF-8
	MaxTableColumns     = 1600     // PostgreSQL's own limit
	maxNameBytes        = 63       // PostgreSQL cuts longer names in silence
	rowCells            = 4        // a whole row may take this many times MaxCellBytes
)

// The two ways to treat header names.
const (
	NamesExact     = "exact"
	NamesSnakeCase = "snake_case"
)

// Options override what is detected. The zero value detects everything.
type Options struct {
	// Encoding is a WHATWG label ("utf-8", "windows-1252", "utf-16le", "shift_jis"); "" detects it.
	Encoding string
	// Delimiter is one ASCII character, or one of the words comma, semicolon, tab, pipe; "" detects it.
	Delimiter string
	// Names is "exact" (the default) or "snake_case", which also makes empty and repeated names usable.
	Names string
	// Types gives columns, by their name after Names was applied, a type that Infer then reports
	// without looking at the cells. The text is not checked here: it must not reach SQL unchecked.
	Types map[string]string
	// MaxCellBytes limits one cell, in bytes of UTF-8; 0 means 16 MiB. A row may be four times that.
	MaxCellBytes int
	// MaxColumns limits the width of the file; 0 and more than 1600 mean 1600.
	MaxColumns int
}

// Dialect is how a file is written, detected or as the options said.
type Dialect struct {
	Encoding  string   // WHATWG name in lower case: "utf-8", "utf-16le", "windows-1252"
	Delimiter byte     // one of the ASCII characters
	Header    []string // column names after Options.Names was applied
}

// withDefaults fills in the limits and refuses values that mean nothing.
func (o Options) withDefaults() (Options, error) {
	switch o.Names {
	case "":
		o.Names = NamesExact
	case NamesExact, NamesSnakeCase:
	default:
		return o, optionFault("names", o.Names, "use exact or snake_case")
	}
	if o.MaxCellBytes < 0 || o.MaxCellBytes > 256<<20 {
		return o, optionFault("max_cell_bytes", o.MaxCellBytes, "use 1 to 268435456, or 0 for the default")
	}
	if o.MaxCellBytes == 0 {
		o.MaxCellBytes = DefaultMaxCellBytes
	}
	if o.MaxColumns <= 0 || o.MaxColumns > MaxTableColumns {
		o.MaxColumns = MaxTableColumns
	}
	return o, nil
}

func optionFault(option string, value any, hint string) *fault.Error {
	return fault.New(fault.Invalid, "option_invalid", "%s: %q cannot be used", option, value).
		WithHint("%s", hint).With("option", option).With("value", value)
}

// delimiter gives the byte that Options.Delimiter names; 0 when it is to be detected.
func (o Options) delimiter() (byte, error) {
	switch strings.ToLower(o.Delimiter) {
	case "":
		return 0, nil
	case "comma":
		return ',', nil
	case "semicolon":
		return ';', nil
	case "tab", `\t`:
		return '\t', nil
	case "pipe":
		return '|', nil
	}
	// A backslash is out because a line of only \. could then not be told from COPY's end of data.
	if len(o.Delimiter) == 1 {
		if c := o.Delimiter[0]; c < 0x80 && c != '"' && c != '\n' && c != '\r' && c != '\\' && c != 0 {
			return c, nil
		}
	}
	return 0, optionFault("delimiter", o.Delimiter, "use one ASCII character other than a quote, a backslash or a line end, or comma, semicolon, tab, pipe")
}

// encodingByLabel finds a decoder; nil for UTF-8, which needs none.
func encodingByLabel(label string) (encoding.Encoding, string, error) {
	enc, err := htmlindex.Get(label)
	if err != nil {
		return nil, "", optionFault("encoding", label, "use a name such as utf-8, utf-16le, windows-1252, iso-8859-15 or shift_jis").Because(err)
	}
	name, err := htmlindex.Name(enc)
	if err != nil || name == "replacement" || name == "x-user-defined" {
		return nil, "", optionFault("encoding", label, "use a name such as utf-8, utf-16le, windows-1252, iso-8859-15 or shift_jis")
	}
	if name == "utf-8" {
		return nil, name, nil
	}
	return enc, name, nil
}
