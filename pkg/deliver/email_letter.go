package deliver

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	stdmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/wneessen/go-mail"
)

//go:embed templates/email.txt templates/email.html
var emailTemplates embed.FS

// The HTML is always made by html/template, which escapes all that comes from data.
var (
	emailText = texttemplate.Must(texttemplate.ParseFS(emailTemplates, "templates/email.txt"))
	emailHTML = htmltemplate.Must(htmltemplate.ParseFS(emailTemplates, "templates/email.html"))
)

const (
	shownEvents   = 100 // of a digest, the newest
	shownTables   = 5   // of a digest, each as it was last
	subjectLength = 200 // characters
)

// letter is what all recipients of an attempt get.
type letter struct {
	from    *stdmail.Address
	s       Subscription
	subject string
	key     string // of the installation, the subscription and the events
	thread  string // Message-ID that messages about the same subject refer to, which no message has
	page    page
}

// page is what the templates of ours show. Only the last three fields differ from recipient to recipient.
type page struct {
	digest
	Body    []string // lines of the subscription's own text; nil for ours
	Earlier int      // events of a digest that are not listed
	Tables  []shownTable

	Recipient   string
	Unsubscribe string
	Title       string
}

// digest is what the templates of a subscription can show: of what happened last the fields by themselves, and of all in Events.
type digest struct {
	occurrence
	Subscription string
	Owner        string
	Count        int
	Events       []occurrence // oldest first
}

// write reads the events and expands the templates of the subscription.
func (e *Email) write(s Subscription, events []Event) (*letter, error) {
	var options emailOptions
	if len(s.Options) > 0 {
		if err := json.Unmarshal(s.Options, &options); err != nil {
			return nil, fmt.Errorf("the options of the subscription cannot be read: %w", err)
		}
	}
	all, source, err := readEvents(e.pages, events)
	if err != nil {
		return nil, err
	}
	d := newDigest(s, all)
	l := &letter{from: e.from, s: s, subject: title(d), page: page{digest: d, Tables: tables(all, options.Chart == "bar")}}
	if extra := len(all) - shownEvents; extra > 0 {
		l.page.Earlier, l.page.Events = extra, all[extra:]
	}
	if options.Subject != "" {
		text, err := expand("subject", options.Subject, d)
		if err != nil {
			return nil, err
		}
		if text = oneLine(text); text != "" {
			l.subject = text
		}
	}
	if options.Body != "" {
		text, err := expand("body", options.Body, d)
		if err != nil {
			return nil, err
		}
		l.page.Body = strings.Split(strings.TrimSpace(clean(text)), "\n")
	}
	// What decodes to something else in a header must not come from data.
	l.subject = strings.ReplaceAll(clip(l.subject, subjectLength), "=?", "= ?")

	positions := make([]string, len(events))
	about := events[0].Subject
	for i, event := range events {
		positions[i] = strconv.FormatInt(event.Position, 10)
		if event.Subject != about {
			about = ""
		}
	}
	subscription := strconv.FormatInt(s.ID, 10)
	l.key = digestOf(source, subscription, strings.Join(positions, ","))
	l.thread = l.address("thread", digestOf(source, subscription, about))
	return l, nil
}

func newDigest(s Subscription, all []occurrence) digest {
	return digest{occurrence: all[len(all)-1], Subscription: oneLine(s.Name), Owner: oneLine(s.Owner), Count: len(all), Events: all}
}

// title is the subject where the subscription has none of its own.
func title(d digest) string {
	if d.Count == 1 {
		return d.What
	}
	for _, o := range d.Events {
		if o.Subject != d.Subject {
			return fmt.Sprintf("%d events for %s", d.Count, d.Subscription)
		}
	}
	return fmt.Sprintf("%s: %d events", d.Subject, d.Count)
}

func digestOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// address makes an id as Message-ID and References have it.
func (l *letter) address(kind, id string) string {
	domain := l.from.Address[strings.LastIndexByte(l.from.Address, '@')+1:]
	if !isASCII(domain) {
		domain = "tinydevcrm.invalid"
	}
	return fmt.Sprintf("<%s.%s@%s>", kind, id, domain)
}

// messageID names the message to one recipient: the same at each attempt.
func (l *letter) messageID(recipient string) string {
	return l.address("event", digestOf(l.key, strings.ToLower(recipient)))
}

// unsubscribe gives the address at which a recipient ends it, in ASCII; empty for none.
func (l *letter) unsubscribe(recipient string) string {
	if l.s.Unsubscribe == nil {
		return ""
	}
	u, err := url.Parse(l.s.Unsubscribe(recipient))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !isASCII(u.Host) {
		return ""
	}
	u.RawQuery = u.Query().Encode()
	address := u.String()
	if len(address) > 900 { // a line of a header may have 998
		return ""
	}
	return address
}

// compose gives the message to one recipient, with its headers.
func (l *letter) compose(recipient, id string) ([]byte, error) {
	p := l.page
	p.Recipient, p.Title = recipient, l.subject
	message := mail.NewMsg(mail.WithNoDefaultUserAgent())
	message.FromMailAddress(l.from)
	message.ToMailAddress(&stdmail.Address{Address: recipient})
	message.Subject(l.subject)
	message.SetDateWithValue(time.Now())
	for name, value := range map[mail.Header]string{
		mail.HeaderMessageID: id, mail.HeaderReferences: l.thread, mail.HeaderInReplyTo: l.thread,
		"Auto-Submitted": "auto-generated", mail.HeaderXAutoResponseSuppress: "All",
	} {
		message.SetGenHeader(name, value)
	}
	if p.Unsubscribe = l.unsubscribe(recipient); p.Unsubscribe != "" {
		message.SetGenHeader(mail.HeaderListUnsubscribe, "<"+p.Unsubscribe+">")
		if strings.HasPrefix(p.Unsubscribe, "https:") { // which RFC 8058 asks for
			message.SetGenHeader(mail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
		}
	}
	if err := message.SetBodyTextTemplate(emailText, p); err != nil {
		return nil, err
	}
	if err := message.AddAlternativeHTMLTemplate(emailHTML, p); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	_, err := message.WriteTo(&text)
	return text.Bytes(), err
}
