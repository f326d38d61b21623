package config

import (
	"net/mail"
	"net/url"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// SMTP is the server through which e-mail leaves, as TINYDEV_SMTP_URL says it.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // TLSFirst, TLSStart or TLSNone
	User     string // empty for none
	Password string
}

// How the connection to an SMTP server is encrypted.
const (
	TLSFirst = "tls"      // from the first byte
	TLSStart = "starttls" // by STARTTLS, and nothing is sent without
	TLSNone  = "none"
)

const smtpHint = "write smtp://user:password@host:587, which takes STARTTLS, or smtps://user:password@host:465; write @ in a password as %40"

// ParseSMTP reads the address of an SMTP server: smtp://user:password@host:587 or smtps://user:password@host:465; user and ports may
// be left out. smtp insists on STARTTLS but on this machine, and with ?tls=none, which takes no password beyond this machine.
// Errors: invalid config_invalid, without user and password.
func ParseSMTP(text string) (SMTP, error) {
	bad := func(hint string) (SMTP, error) {
		return SMTP{}, invalid("TINYDEV_SMTP_URL", Secret(text).Redacted(), hint)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return bad(smtpHint)
	}
	s := SMTP{Host: u.Hostname(), Port: 587, TLS: TLSStart, User: u.User.Username()}
	s.Password, _ = u.User.Password()
	if (s.User == "") != (s.Password == "") {
		return bad("give both user and password, or neither; " + smtpHint)
	}
	asked := u.Query()
	encryption := asked.Get("tls")
	switch {
	case len(asked) > 1 || len(asked) == 1 && encryption == "":
		return bad("there is one option, tls")
	case u.Scheme == "smtps" && encryption == "":
		s.Port, s.TLS = 465, TLSFirst
	case u.Scheme == "smtp" && (encryption == TLSStart || encryption == TLSNone):
		s.TLS = encryption
	case u.Scheme == "smtp" && encryption == "":
		if isLoopback(s.Host) {
			s.TLS = TLSNone
		}
	default:
		return bad("smtp takes tls=starttls or tls=none; smtps is encrypted from the start and takes no option")
	}
	if s.TLS == TLSNone && s.Password != "" && !isLoopback(s.Host) {
		return bad("without TLS the password would be sent in the clear: leave out tls=none, or user and password")
	}
	if u.Port() != "" {
		if s.Port, err = strconv.Atoi(u.Port()); err != nil || s.Port < 1 || s.Port > 65535 {
			return bad("a port is 1 to 65535")
		}
	}
	return s, nil
}

// ParseSender reads whom e-mail is from: noreply@example.org, or with a name TinyDevCRM <noreply@example.org>.
// Errors: invalid config_invalid.
func ParseSender(text string) (*mail.Address, error) {
	sender, err := mail.ParseAddress(text)
	if err != nil || strings.ContainsAny(sender.Address, " \t\"") {
		return nil, invalid("TINYDEV_SMTP_FROM", text, "write an address, such as TinyDevCRM <noreply@example.org>")
	}
	return sender, nil
}

// checkMail checks what is set of e-mail.
func (c Config) checkMail() error {
	switch {
	case c.SmtpURL == "" && c.SmtpFrom == "":
		return nil
	case c.SmtpFrom == "":
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_SMTP_URL needs TINYDEV_SMTP_FROM").
			WithHint("say whom e-mail is from, such as TinyDevCRM <noreply@example.org>").With("variable", "TINYDEV_SMTP_FROM")
	case c.SmtpURL == "":
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_SMTP_FROM needs TINYDEV_SMTP_URL").
			WithHint("%s", smtpHint).With("variable", "TINYDEV_SMTP_URL")
	}
	if _, err := ParseSMTP(c.SmtpURL.Reveal()); err != nil {
		return err
	}
	_, err := ParseSender(c.SmtpFrom)
	return err
}
