package deliver_test

import (
	"net/netip"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestDatabaseJudgesAsTheGuard holds that the early answer, when a subscription is made, and the guard of the connections have the same list.
func TestDatabaseJudgesAsTheGuard(t *testing.T) {
	t.Parallel()
	conn := pgtest.DB(t).Superuser()
	lists := map[string][]string{"nothing": nil, "some": {"10.1.0.0/16", "127.0.0.1/32", "fd00::/16", "fe80::/64", "8.8.8.8/32", "203.0.113.0/25"}}
	for _, text := range []string{
		"0.0.0.0", "0.255.255.255", "1.0.0.0", "8.8.8.8", "9.255.255.255", "10.0.0.0", "10.1.2.3", "10.255.255.255", "11.0.0.0", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0",
		"126.255.255.255", "127.0.0.1", "127.0.0.2", "127.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.16", "168.63.129.17", "169.253.255.255", "169.254.0.0", "169.254.169.254", "169.255.0.0",
		"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", "192.0.2.0", "192.0.2.255", "192.0.3.0", "192.88.98.255", "192.88.99.0",
		"192.88.99.255", "192.88.100.0", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0", "198.51.99.255", "198.51.100.0",
		"198.51.100.255", "198.51.101.0", "203.0.112.255", "203.0.113.1", "203.0.113.255", "203.0.114.0", "223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::8.8.8.8", "::1:0:0", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:10.2.0.0", "::ffff:8.8.8.8", "::ffff:255.255.255.255", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "100:0:0:1::", "1fff:ffff::1", "2000::", "2001::1", "2001:2::1", "2001:1ff:ffff::", "2001:200::", "2001:db7:ffff::", "2001:db8::1", "2001:db9::",
		"2001:4860:4860::8888", "2002:7f00:1::1", "2003::1", "2606:4700:4700::1111", "2a00::1", "3ffe:ffff::1", "3fff::1", "3fff:fff:ffff::", "3fff:1000::", "4000::1", "5f00::1", "e000::1", "fbff::1",
		"fc00::1", "fd00::1", "fd00:ec2::254", "fd01::1", "fe80::1", "fe80::1%eth0", "fe80:0:0:1::1", "febf::1", "fec0::1", "ff02::1",
	} {
		address := netip.MustParseAddr(text)
		url := "https://" + netip.AddrPortFrom(address, 8443).String() + "/hook"
		for name, list := range lists {
			want := deliver.Judge(networks(list...), true, address) != nil
			if got := pgtest.Value[bool](t, conn, "select tinydev_lib.forbidden_address($1, $2::text[]::cidr[]) is not null", url, list); got != want {
				t.Errorf("%s with %s allowed: the database refuses it: %v, the guard: %v", text, name, got, want)
			}
		}
	}
}
