package deliver

import "net/netip"

// For the tests outside of the package: what no connection to the internet is made for.

// Judge gives the guard's refusal of an address, nil for none.
func Judge(allow []netip.Prefix, encrypted bool, address netip.Addr) error {
	return guard{allow: allow, encrypted: encrypted}.judge(address)
}

// Excerpt is what is kept of an answer.
var Excerpt = excerpt
