package deliver

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// global is where IPv6 has its public addresses; whatever lies outside of it is an inner one.
var global = netip.MustParsePrefix("2000::/3")

// inner are the networks that are nobody's on the internet, with what they are; of IPv6 those inside of global, and those that have a name.
var inner = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's own services"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds have their metadata"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},

	{netip.MustParsePrefix("::/128"), "this machine"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "IPv4 in IPv6"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4 in IPv6"},
	{netip.MustParsePrefix("64:ff9b::/96"), "IPv4 in IPv6"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "IPv4 in IPv6"},
	{netip.MustParsePrefix("100::/64"), "discarded"},
	{netip.MustParsePrefix("2001::/32"), "Teredo"},
	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "reserved"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// innerness says what kind of an inner address this is; "" for a public one. The address is no IPv4 address in IPv6's clothes.
func innerness(address netip.Addr) string {
	for _, n := range inner {
		if n.network.Contains(address) {
			return n.what
		}
	}
	if address.Is6() && !global.Contains(address) {
		return "not of the internet"
	}
	return ""
}

// guard keeps webhooks away from inner networks, and what is not encrypted from all that are not on the allow list.
//
// It judges the address that is about to be connected to, so neither the spelling of a host, nor a name that resolves to something else
// the next time it is asked for, gets around it.
type guard struct {
	allow     []netip.Prefix
	encrypted bool // the connections are TLS
}

// refusal is why the guard lets no connection be made. It is for the owner of the subscription.
type refusal string

func (r refusal) Error() string { return string(r) }

// control is net.Dialer.Control.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refusal(fmt.Sprintf("%q is no address that a webhook may have", address))
	}
	return g.judge(to.Addr())
}

// judge gives a refusal, or nil when a connection to the address may be made.
func (g guard) judge(address netip.Addr) error {
	address = address.Unmap().WithZone("") // a prefix contains neither mapped addresses nor those with a zone
	for _, network := range g.allow {
		if network.Contains(address) {
			return nil
		}
	}
	switch what := innerness(address); {
	case what != "":
		return refusal(fmt.Sprintf("the target's address %s is an inner one (%s); webhooks reach it only when the server's TINYDEV_WEBHOOK_ALLOW lists it", address, what))
	case !g.encrypted:
		return refusal(fmt.Sprintf("http:// to %s would send events in the clear; write https://, or have the server's TINYDEV_WEBHOOK_ALLOW list the address", address))
	}
	return nil
}

// dialer makes the connections that the guard allows.
func (g guard) dialer(resolver *net.Resolver) *net.Dialer {
	return &net.Dialer{Timeout: connectTime, Control: g.control, Resolver: resolver}
}
