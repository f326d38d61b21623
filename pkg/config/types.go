package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// redacted stands for a secret in all that is printed.
const redacted = "(redacted)"

// Secret is a text that must not be printed: a token, or a URL that may hold a password. Every way of formatting, logging and
// marshalling it shows Redacted; Reveal gives the text.
type Secret string

// Reveal gives the secret itself.
func (s Secret) Reveal() string { return string(s) }

var passwordWord = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)`)

// Redacted gives what may be shown: "" for nothing, a database address without its password, that of an SMTP server without user and
// password, else "(redacted)".
func (s Secret) Redacted() string {
	text := string(s)
	switch {
	case text == "":
		return ""
	case strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://"):
		u, err := url.Parse(text)
		if err != nil {
			return redacted
		}
		query := u.Query()
		for name := range query {
			if strings.Contains(strings.ToLower(name), "password") {
				query.Set(name, "xxxxx")
				u.RawQuery = query.Encode()
			}
		}
		return u.Redacted()
	case strings.HasPrefix(text, "smtp://") || strings.HasPrefix(text, "smtps://"):
		u, err := url.Parse(text)
		if err != nil || u.Opaque != "" {
			return redacted
		}
		if u.User != nil {
			u.User = url.User("xxxxx") // some services take a secret as the user, too
		}
		return u.String()
	case strings.Contains(text, "dbname=") || strings.Contains(text, "host="):
		return passwordWord.ReplaceAllString(text, "${1}xxxxx")
	}
	return redacted
}

// String implements fmt.Stringer.
func (s Secret) String() string { return s.Redacted() }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.Redacted()) }

// Format implements fmt.Formatter, so that no verb prints the secret, %x and %q among them.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), s.Redacted())
}

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.Redacted()), nil }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.Redacted()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.Redacted()) }

// Size is a number of bytes, written as 1048576, 1MB or 1MiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// Decode reads a size.
func (s *Size) Decode(text string) error {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, unit := range sizeUnits {
		if n := len(number) - len(unit.suffix); n > 0 && strings.EqualFold(number[n:], unit.suffix) {
			number, factor = strings.TrimSpace(number[:n]), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return fmt.Errorf("write a number of bytes such as 1048576, 16MiB or 2GB")
	}
	*s = Size(n * factor)
	return nil
}

// String gives the size in the largest binary unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits[:4] {
		if s != 0 && int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Age is a length of time in which days are allowed: 90d, 36h, 15m.
type Age time.Duration

// Decode reads an age.
func (a *Age) Decode(text string) error {
	text = strings.TrimSpace(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("write a time such as 90d, 36h or 15m")
		}
		*a = Age(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("write a time such as 90d, 36h or 15m")
	}
	*a = Age(d)
	return nil
}

// String gives whole days as 90d, else as time.Duration does; "" for none.
func (a Age) String() string {
	const day = 24 * time.Hour
	switch d := time.Duration(a); {
	case d == 0:
		return ""
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	default:
		return d.String()
	}
}

// Count is a whole number of at least 1.
type Count int

// Decode implements envconfig.Decoder.
func (c *Count) Decode(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1_000_000 {
		return errors.New("write a whole number from 1 to 1000000")
	}
	*c = Count(n)
	return nil
}
