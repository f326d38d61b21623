package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
)

const (
	idleConnections = 4                // are kept for the next message
	idleTime        = 30 * time.Second // is how long; servers close after some minutes
	longestAnswer   = 10 * time.Minute // is a server waited for when the context allows; what RFC 5321 gives it at the end of a message
)

// connection is one to the SMTP server, logged in. It belongs to one attempt at a time, whose context closes it.
type connection struct {
	net.Conn
	client *smtp.Client
	detach func() bool // ends that the context closes it; false when it did
	expiry *time.Timer
}

// connect gives a connection that is alive, an idle one before a new one.
func (e *Email) connect(ctx context.Context) (*connection, error) {
	for {
		c := e.reuse()
		if c == nil {
			return e.dial(ctx)
		}
		c.detach = context.AfterFunc(ctx, func() { c.Close() })
		if c.client.Reset() == nil {
			return c, nil
		}
		c.detach()
		c.Close()
	}
}

// reuse takes an idle connection, nil when there is none.
func (e *Email) reuse() *connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.idle) == 0 {
		return nil
	}
	c := e.idle[len(e.idle)-1]
	e.idle = e.idle[:len(e.idle)-1]
	c.expiry.Stop() // when it has run already, it does not find the connection any more
	return c
}

// dial opens a connection, with STARTTLS and AUTH.
func (e *Email) dial(ctx context.Context) (*connection, error) {
	c := &connection{detach: func() bool { return true }}
	options := []mail.Option{
		// The library's own dialer would leave the reading of the greeting to time-outs, and the connection open after errors.
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, "tcp", e.address)
			if err != nil {
				return nil, err
			}
			c.Conn = raw
			c.detach = context.AfterFunc(ctx, func() { raw.Close() })
			if e.server.TLS != config.TLSFirst {
				return raw, nil
			}
			encrypted := tls.Client(raw, e.tls)
			return encrypted, encrypted.HandshakeContext(ctx)
		}),
		mail.WithTimeout(longestAnswer), mail.WithTLSConfig(e.tls), mail.WithTLSPolicy(mail.NoTLS),
	}
	if e.hostname != "" {
		options = append(options, mail.WithHELO(e.hostname))
	}
	if e.server.TLS == config.TLSStart {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if e.server.User != "" {
		options = append(options, mail.WithUsername(e.server.User), mail.WithPassword(e.server.Password))
		if e.server.TLS == config.TLSNone { // on this machine only
			options = append(options, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc))
		} else {
			options = append(options, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
		}
	}
	client, err := mail.NewClient(e.server.Host, options...)
	if err == nil {
		c.client, err = client.DialToSMTPClientWithContext(ctx)
	}
	if err != nil {
		c.detach()
		if c.Conn != nil {
			c.Close()
		}
		return nil, fmt.Errorf("connect to %s: %w", e.address, err)
	}
	return c, nil
}

// send sends one message and gives the server's words. Errors of the server are *textproto.Error.
func (c *connection) send(from, to string, text []byte) (string, error) {
	// Servers on the way may know no SMTPUTF8, so it is asked for only where an address needs it.
	c.client.SkipSMTPUTF8(isASCII(from + to))
	if err := c.client.UpdateDeadline(longestAnswer); err != nil {
		return "", err
	}
	if err := c.client.Mail("<" + from + ">"); err != nil {
		return "", err
	}
	if err := c.client.Rcpt("<" + to + ">"); err != nil {
		if reply := new(textproto.Error); errors.As(err, &reply) {
			return "", &recipientRefused{reply}
		}
		return "", err
	}
	w, err := c.client.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if closer, ok := w.(*smtp.DataCloser); ok {
		return closer.ServerResponse(), nil
	}
	return "", nil
}

// recipientRefused is the server's answer to RCPT.
type recipientRefused struct{ reply *textproto.Error }

func (r *recipientRefused) Error() string { return r.reply.Error() }

func (r *recipientRefused) Unwrap() error { return r.reply }

// release keeps a connection for the next message, unless err leaves unclear where it stands.
func (e *Email) release(c *connection, err error) {
	reply := new(textproto.Error)
	usable := err == nil || errors.As(err, &reply) && reply.Code != 421 // by which a server closes
	if !c.detach() || !usable || !e.keep(c) {
		c.Close()
	}
}

// keep makes a connection idle; false when it may not be.
func (e *Email) keep(c *connection) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.idle) >= idleConnections {
		return false
	}
	c.expiry = time.AfterFunc(idleTime, func() { e.expire(c) })
	e.idle = append(e.idle, c)
	return true
}

// expire ends a connection that nobody took meanwhile.
func (e *Email) expire(c *connection) {
	e.mu.Lock()
	at := slices.Index(e.idle, c)
	if at >= 0 {
		e.idle = slices.Delete(e.idle, at, at+1)
	}
	e.mu.Unlock()
	if at >= 0 {
		c.quit()
	}
}

// quit takes leave of the server, for which it has a second.
func (c *connection) quit() {
	if c.SetDeadline(time.Now().Add(time.Second)) == nil {
		_ = c.client.Quit() // closed either way
	}
	c.Close()
}

// Close ends the idle connections, and keeps none from then on.
func (e *Email) Close() {
	e.mu.Lock()
	idle := e.idle
	e.idle, e.closed = nil, true
	e.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		c.quit()
	}
}

func isASCII(text string) bool {
	for _, r := range text {
		if r > unicode.MaxASCII {
			return false
		}
	}
	return true
}
