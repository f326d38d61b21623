package deliver

import (
	"net/netip"
	"time"
)

// For the tests outside of the package: what no connection to the internet is made for.

// Judge gives the guard's refusal of an address, nil for none.
func Judge(allow []netip.Prefix, encrypted bool, address netip.Addr) error {
	return guard{allow: allow, encrypted: encrypted}.judge(address)
}

// Excerpt is what is kept of an answer.
var Excerpt = excerpt

// OnStep has f called after each step of the work on a subscription: "read", "sent", "recorded".
func (o *Options) OnStep(f func(step, subscription string)) { o.step = f }

// Lease sets how long a server holds its subscriptions without renewal.
func (o *Options) Lease(d time.Duration) { o.lease = d }

// Abandon ends all work at once, as when the lease is lost.
func (d *Deliverer) Abandon() { d.abandon() }
