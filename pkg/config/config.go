// Package config reads the TINYDEV_* variables and the flags that stand in for them into one checked struct.
package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Prefix begins the name of every variable.
const Prefix = "TINYDEV"

// DefaultListen is the address that is tried when none is given.
const DefaultListen = "127.0.0.1:8484"

// Config is all that can be set. A field's variable is its name in capitals after TINYDEV_, as split_words gives it.
// The tag envconfig is not used: with it the library also reads the bare name, and USER is set everywhere.
type Config struct {
	DataDir          string `split_words:"true" default:".tinydev" help:"folder of the private cluster, the token and the spool"`
	Listen           string `split_words:"true" default:"127.0.0.1:8484" help:"address of the HTTP server; port 0 takes a free one"`
	User             string `split_words:"true" help:"user and workspace; default the login of the operating system"`
	DatabaseURL      Secret `split_words:"true" help:"serve: the database, as tinydev_server or a superuser"`
	AdminDatabaseURL Secret `split_words:"true" help:"serve, migrate: the database as a superuser, to install and upgrade"`
	CACert           string `split_words:"true" help:"serve: file of the certificate authority by which the server logs in as its users, see tinydev ca"`
	CAKey            string `split_words:"true" help:"serve: file of the authority's key"`
	PostgresBin      string `split_words:"true" help:"folder of the PostgreSQL server's binaries; default PATH, then the usual places"`

	TLSCert        string   `split_words:"true" help:"file of the certificate; with it HTTPS is spoken"`
	TLSKey         string   `split_words:"true" help:"file of the certificate's key"`
	Hosts          []string `split_words:"true" help:"further names under which the server may be addressed, separated by commas"`
	InsecureListen bool     `split_words:"true" default:"false" help:"allow plain HTTP beyond loopback: only where something else keeps strangers out, such as a container behind a port published on loopback"`

	OIDCIssuer       string `split_words:"true" help:"identity provider: its issuer, such as https://login.example.org"`
	OIDCAudience     string `split_words:"true" help:"identity provider: audience of the JWTs that are taken as bearer tokens; empty takes none"`
	OIDCClaim        string `split_words:"true" default:"preferred_username" help:"identity provider: claim that names the user"`
	OIDCDomain       string `split_words:"true" help:"identity provider: the claim is an e-mail address of this domain, and the user what stands before the @"`
	OIDCCreateUsers  bool   `split_words:"true" default:"false" help:"identity provider: make users at their first sign-on"`
	OIDCClientID     string `split_words:"true" help:"identity provider: client for signing in to the pages; empty offers none"`
	OIDCClientSecret Secret `split_words:"true" help:"identity provider: secret of the client; empty for a public one"`
	PublicURL        string `split_words:"true" help:"address of the server as browsers see it, where it is not the one they ask for, such as behind a proxy; links in e-mail lead there"`

	// Smtp and not SMTP: between capitals split_words sees no words.
	SmtpURL  Secret `split_words:"true" help:"e-mail: the server that takes it, such as smtp://user:password@mail.example.org:587 or smtps://…:465; empty sends none"`
	SmtpFrom string `split_words:"true" help:"e-mail: whom it is from, such as TinyDevCRM <noreply@example.org>"`

	MaxUploadBytes     Size  `split_words:"true" default:"0" help:"largest file; 0 is no limit"`
	MaxSpoolBytes      Size  `split_words:"true" default:"16GiB" help:"how much may wait on disk at the same time while types are found; 0 is no limit"`
	MaxCellBytes       Size  `split_words:"true" default:"16MiB" help:"largest cell of a file, up to 256MiB"`
	MaxSessions        Count `split_words:"true" default:"32" help:"connections to PostgreSQL for users' requests, idle ones among them"`
	MaxSessionsPerUser Count `split_words:"true" default:"8" help:"of them for one user"`
	MaxStreams         Count `split_words:"true" default:"20000" help:"open streams of events; each takes a file descriptor"`
	MaxStreamsPerToken Count `split_words:"true" default:"100" help:"of them for one token or page session"`
	EventRetention     Age   `split_words:"true" help:"how long events are kept, such as 90d; empty leaves what the database has"`

	WebhookAllow Networks `split_words:"true" help:"inner networks that webhooks may reach, also without TLS, such as 127.0.0.1/32,10.1.0.0/16"`
	Commands     Commands `split_words:"true" help:"programs that subscriptions may run, a JSON object of names, such as {\"notify\":[\"/usr/local/bin/notify\"]}"`

	LogLevel  string `split_words:"true" default:"info" help:"debug, info, warn or error"`
	LogFormat string `split_words:"true" default:"text" help:"text or json"`

	URL   string `split_words:"true" help:"clients: address of the server"`
	Token Secret `split_words:"true" help:"clients: the token"`

	EventID      string `split_words:"true" help:"commands: position of the event, in the environment of the program that is run"`
	EventType    string `split_words:"true" help:"commands: its type, such as tinydev.view.refreshed"`
	EventSubject string `split_words:"true" help:"commands: what it is about, such as ann.friends"`
	Attempt      string `split_words:"true" help:"commands: how often it was tried, 1 at first"`
	Subscription string `split_words:"true" help:"commands: the subscription, such as ann.hook"`

	PgCronSource  string `split_words:"true" help:"build: folder or tarball of pg_cron's source"`
	BaseImage     string `split_words:"true" help:"build: base of the images"`
	SocketDir     string `split_words:"true" help:"image: folder of PostgreSQL's socket"`
	PostgresPort  string `split_words:"true" help:"compose: port of PostgreSQL on loopback"`
	TestServer    string `split_words:"true" help:"tests: local, container or all"`
	TestBaseImage string `split_words:"true" help:"tests: base of the image"`
	TestBins      string `split_words:"true" help:"tests: folders of PostgreSQL binaries"`
	Screenshots   string `split_words:"true" help:"tests: folder in which the pages' pictures are kept"`

	sources map[string]string // variable to Environment or Flag
}

// Sources of a value.
const (
	Default     = "default"
	Environment = "environment"
	Flag        = "flag"
)

// Load reads the environment. Errors: invalid config_unknown for a TINYDEV_ variable that does not exist, config_invalid for a
// value that cannot be used (fields variable and value).
func Load() (Config, error) { return LoadWith(nil) }

// LoadWith reads the environment and then flags, which win. A flag's key is the variable that it stands in for:
// {"TINYDEV_LISTEN": "127.0.0.1:0"}. Errors: as Load.
func LoadWith(flags map[string]string) (Config, error) {
	c := Config{sources: map[string]string{}}
	if err := envconfig.CheckDisallowed(Prefix, &c); err != nil {
		name := strings.TrimPrefix(err.Error(), "unknown environment variable ")
		return c, fault.New(fault.Invalid, "config_unknown", "there is no variable %s", name).
			With("variable", name).WithHint("%s", nearest(name)).Because(err)
	}
	if err := envconfig.Process(Prefix, &c); err != nil {
		var parse *envconfig.ParseError
		if !errors.As(err, &parse) {
			return c, fmt.Errorf("read the environment: %w", err)
		}
		return c, invalid(parse.KeyName, parse.Value, allowedBy(parse.Err))
	}
	for _, v := range c.variables() {
		text, set := os.LookupEnv(v.name)
		if set && text == "" {
			if err := v.set(v.field.Tag.Get("default")); err != nil {
				return c, fmt.Errorf("set %s to its default: %w", v.name, err)
			}
		} else if set {
			c.sources[v.name] = Environment
		}
		text, set = flags[v.name]
		if !set {
			continue
		}
		if err := v.set(text); err != nil {
			return c, invalid(v.name, text, allowedBy(err))
		}
		c.sources[v.name] = Flag
	}
	return c, c.check()
}

// IsSet reports whether a variable, such as "TINYDEV_LISTEN", was given by the environment or a flag.
func (c Config) IsSet(name string) bool { return c.sources[name] != "" }

// TLS reports whether the server speaks HTTPS.
func (c Config) TLS() bool { return c.TLSCert != "" }

type variable struct {
	name  string
	field reflect.StructField
	value reflect.Value
}

// set reads text into the variable as envconfig does.
func (v variable) set(text string) error {
	if d, ok := v.value.Addr().Interface().(envconfig.Decoder); ok {
		if text == "" {
			v.value.SetZero()
			return nil
		}
		return d.Decode(text)
	}
	switch v.value.Kind() {
	case reflect.Bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("write true or false")
		}
		v.value.SetBool(on)
	case reflect.Slice:
		v.value.SetZero()
		if text != "" {
			v.value.Set(reflect.ValueOf(strings.Split(text, ",")))
		}
	default:
		v.value.SetString(text)
	}
	return nil
}

var wordEnd = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

func (c *Config) variables() []variable {
	var list []variable
	s := reflect.ValueOf(c).Elem()
	for i := range s.NumField() {
		field := s.Type().Field(i)
		if field.IsExported() {
			name := Prefix + "_" + strings.ToUpper(wordEnd.ReplaceAllString(field.Name, "${1}${3}_${2}${4}"))
			list = append(list, variable{name, field, s.Field(i)})
		}
	}
	return list
}

// Names lists all variables in the order of the struct.
func Names() []string {
	var names []string
	for _, v := range new(Config).variables() {
		names = append(names, v.name)
	}
	return names
}

// nearest suggests the variable that a misspelt one may have meant.
func nearest(name string) string {
	best, at := "", len(name)/3+1
	for _, known := range Names() {
		if d := distance(name, known); d < at {
			best, at = known, d
		}
	}
	if best == "" {
		return "tinydev config lists those there are; unset this one"
	}
	return "did you mean " + best + "? tinydev config lists them all"
}

// distance is the number of letters to change, add or drop to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, previous+1)
		}
	}
	return row[len(b)]
}

func allowedBy(err error) string {
	if errors.Is(err, strconv.ErrSyntax) {
		return "write true or false"
	}
	return err.Error()
}

func invalid(name, value, allowed string) *fault.Error {
	return fault.New(fault.Invalid, "config_invalid", "%s: %q cannot be used", name, value).
		WithHint("%s", allowed).With("variable", name).With("value", value)
}

var userName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func (c Config) check() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		return invalid("TINYDEV_LISTEN", c.Listen, "write host:port, such as "+DefaultListen+" or [::1]:8484; port 0 takes a free one")
	}
	switch {
	case c.DataDir == "":
		return invalid("TINYDEV_DATA_DIR", c.DataDir, "name a folder")
	case c.User != "" && !userName.MatchString(c.User):
		return invalid("TINYDEV_USER", c.User, "use 1 to 63 of a-z, 0-9 and _, beginning with a letter")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_TLS_CERT and TINYDEV_TLS_KEY belong together").
			WithHint("set both, or neither").With("variable", "TINYDEV_TLS_KEY")
	case (c.CACert == "") != (c.CAKey == ""):
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_CA_CERT and TINYDEV_CA_KEY belong together").
			WithHint("set both, or neither").With("variable", "TINYDEV_CA_KEY")
	case !c.TLS() && !c.InsecureListen && !isLoopback(host):
		return fault.New(fault.Invalid, "listen_insecure", "plain HTTP on %s would send tokens and data in the clear", c.Listen).
			WithHint("listen on 127.0.0.1, or give a certificate (TINYDEV_TLS_CERT and TINYDEV_TLS_KEY); TINYDEV_INSECURE_LISTEN=true allows it where something else keeps strangers out").
			With("variable", "TINYDEV_LISTEN").With("value", c.Listen)
	case c.MaxCellBytes < 1 || c.MaxCellBytes > 256<<20:
		return invalid("TINYDEV_MAX_CELL_BYTES", c.MaxCellBytes.String(), "use 1 to 256MiB")
	case c.EventRetention != 0 && c.EventRetention < Age(time.Hour):
		return invalid("TINYDEV_EVENT_RETENTION", c.EventRetention.String(), "keep events for at least 1h")
	}
	for _, v := range []struct {
		name, value string
		allowed     []string
	}{
		{"TINYDEV_LOG_LEVEL", c.LogLevel, []string{"debug", "info", "warn", "error"}},
		{"TINYDEV_LOG_FORMAT", c.LogFormat, []string{"text", "json"}},
	} {
		if !slices.Contains(v.allowed, v.value) {
			return invalid(v.name, v.value, "use one of "+strings.Join(v.allowed, ", "))
		}
	}
	if err := c.checkSignOn(); err != nil {
		return err
	}
	if err := c.checkMail(); err != nil {
		return err
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/ \t@") {
			return invalid("TINYDEV_HOSTS", strings.Join(c.Hosts, ","), "list names without a scheme or path, such as crm.example.org,10.0.0.5")
		}
	}
	return nil
}

// isLoopback reports whether only this machine can reach host.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Describe lists all variables with their defaults.
func Describe() []Entry {
	var c Config
	list := c.variables()
	entries := make([]Entry, len(list))
	for i, v := range list {
		entries[i] = Entry{Name: v.name, Value: v.field.Tag.Get("default"), Source: Default, Help: v.field.Tag.Get("help")}
	}
	return entries
}

// Entry is one value with where it came from.
type Entry struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // Default, Environment or Flag
	Help   string `json:"help"`
}

// Entries lists all values, secrets redacted.
func (c Config) Entries() []Entry {
	var list []Entry
	for _, v := range c.variables() {
		e := Entry{Name: v.name, Value: fmt.Sprint(v.value.Interface()), Source: c.sources[v.name], Help: v.field.Tag.Get("help")}
		if names, ok := v.value.Interface().([]string); ok {
			e.Value = strings.Join(names, ",")
		}
		if e.Source == "" {
			e.Source = Default
		}
		list = append(list, e)
	}
	return list
}

// Print writes all values as a table: name, value, source. Secrets are redacted.
func (c Config) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range c.Entries() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", e.Name, e.Value, e.Source)
	}
	return table.Flush()
}
