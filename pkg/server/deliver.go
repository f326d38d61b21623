package server

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
)

// deliverConnections is the size of the pool that deliveries are read and recorded by; users' open transactions may hold some of its
// statements up for a moment, which must not hold up sign-ons.
const deliverConnections = 6

// newDeliverer makes what delivers events, with the kinds that are configured. A kind more is one line here.
func (s *server) newDeliverer(verbs *control.Control) (*deliver.Deliverer, error) {
	kinds := []deliver.Kind{deliver.NewWebhook(s.cfg.WebhookAllow, "TinyDevCRM/"+Version)}
	if s.cfg.SmtpURL != "" {
		email, err := deliver.NewEmail(deliver.EmailOptions{URL: s.cfg.SmtpURL.Reveal(), From: s.cfg.SmtpFrom, PublicURL: s.publicURL()})
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, email)
		if s.isLocal() {
			s.log.Warn("links in e-mail lead to this machine only: say by TINYDEV_PUBLIC_URL where readers find the pages", "links", s.publicURL())
		}
	}
	if len(s.cfg.Commands) > 0 {
		commands, err := deliver.NewCommands(s.cfg.Commands)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, commands)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return deliver.New(deliver.Options{Pool: s.deliverPool, Relay: s.relay, Control: verbs, Kinds: kinds, Commands: s.cfg.Commands.Users(), WebhookAllow: s.cfg.WebhookAllow,
		PublicURL: s.publicURL(), Server: fmt.Sprintf("%s, process %d", host, os.Getpid()), Logger: s.log,
		Attempted: func(kind string, state deliver.State, took time.Duration) {
			s.metrics.Deliveries.WithLabelValues(kind, string(state)).Observe(took.Seconds())
		}}), nil
}

// publicURL gives the address under which people find the pages.
func (s *server) publicURL() string {
	if s.cfg.PublicURL != "" {
		return s.cfg.PublicURL
	}
	return s.address()
}

// isLocal reports whether publicURL leads nowhere from other machines.
func (s *server) isLocal() bool {
	u, err := url.Parse(s.publicURL())
	if err != nil || u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}
