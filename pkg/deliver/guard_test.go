package deliver_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
)

// nameServer is a DNS server for a test: answer gives the addresses of a name, none for one that is not known.
func nameServer(t *testing.T, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		question := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(dnsAnswer(question[:n], answer), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// dnsAnswer answers a question of one name (RFC 1035).
func dnsAnswer(question []byte, answer func(name string) []netip.Addr) []byte {
	const header = 12
	var labels []string
	end := header
	for question[end] != 0 {
		length := int(question[end])
		labels = append(labels, string(question[end+1:end+1+length]))
		end += 1 + length
	}
	kind := binary.BigEndian.Uint16(question[end+1:])
	end += 5
	reply := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[header:end]...)
	addresses := answer(strings.ToLower(strings.Join(labels, ".")))
	if len(addresses) == 0 {
		reply[3] |= 3 // there is no such name
	}
	for _, address := range addresses {
		if address.Is4() == (kind == 1) {
			raw := address.AsSlice()
			reply = append(reply, 0xc0, header, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
			reply = append(reply, raw...)
			reply[7]++
		}
	}
	return reply
}

// alwaysIs is a resolver to which every name has one address.
func alwaysIs(t *testing.T, address string) *net.Resolver {
	return nameServer(t, func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(address)} })
}

func networks(words ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, word := range words {
		list = append(list, netip.MustParsePrefix(word))
	}
	return list
}

func TestGuardJudges(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1",
		"2001:2::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "e000::1",
	} {
		err := deliver.Judge(nil, true, netip.MustParseAddr(address))
		if err == nil || !strings.Contains(err.Error(), "TINYDEV_WEBHOOK_ALLOW") || !strings.Contains(err.Error(), netip.MustParseAddr(address).Unmap().WithZone("").String()) {
			t.Errorf("%s: %v", address, err)
		}
		if deliver.Judge(nil, false, netip.MustParseAddr(address)) == nil {
			t.Errorf("%s may be reached in the clear", address)
		}
	}
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255",
		"::ffff:8.8.8.8", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00::1", "2003::1",
	} {
		if err := deliver.Judge(nil, true, netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if err := deliver.Judge(nil, false, netip.MustParseAddr(address)); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("%s in the clear: %v", address, err)
		}
	}
	allow := networks("10.1.0.0/16", "127.0.0.1/32", "fd00::/16", "fe80::/64", "8.8.8.8/32")
	for address, allowed := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "fd00::1": true, "fd01::1": false, "fe80::1%eth0": true, "8.8.8.8": true,
		"64:ff9b::7f00:1": false, "::127.0.0.1": false, "2002:7f00:1::": false,
	} {
		for _, encrypted := range []bool{true, false} {
			if err := deliver.Judge(allow, encrypted, netip.MustParseAddr(address)); (err == nil) != allowed {
				t.Errorf("%s, encrypted %v: %v", address, encrypted, err)
			}
		}
	}
}

// However this machine is spelt, nothing of a webhook arrives at it. One resolver takes every name for this machine; that of the system may do
// so with numbers, and neither is asked where Go takes them for nothing.
func TestGuardHoldsForEverySpelling(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	receiver.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	receiver.Start()
	t.Cleanup(receiver.Close)
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())

	named := deliver.NewWebhook(networks("10.0.0.0/8"), "test", deliver.WithResolver(alwaysIs(t, "127.0.0.1")))
	system := deliver.NewWebhook(networks("10.0.0.0/8"), "test")
	t.Cleanup(named.Close)
	t.Cleanup(system.Close)
	numbers := []string{"127.0.0.1", "127.1", "127.0.1", "2130706433", "0177.0.0.1", "017700000001", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
		"0.0.0.0", "0", "127。0。0。1", "①②⑦.⓪.⓪.①", "example.org@127.0.0.1", "localhost"}
	names := []string{"LOCALHOST.", "127.0.0.1.", "0x7f000001", "0x7f.0.0.1", "127.0.0.1.nip.example", "example.org", "a:b@localhost"}
	for _, host := range append(numbers, names...) {
		for _, scheme := range []string{"http", "https"} {
			for _, w := range []*deliver.Webhook{named, system} {
				if w == system && slices.Contains(names, host) {
					continue // it would be asked for on the network
				}
				o := w.Send(t.Context(), subscription(scheme+"://"+host+":"+port+"/hook"), event(1))
				guarded := strings.Contains(o.Error, "TINYDEV_WEBHOOK_ALLOW") && (strings.Contains(o.Error, "127.0.0.1") || strings.Contains(o.Error, "0.0.0.0") || strings.Contains(o.Error, "::1"))
				if o.State != deliver.Failed || !guarded && o.Error != "the host "+host+" is not known (DNS)" && !(strings.Contains(host, "@") && strings.HasPrefix(o.Error, "the target is no address")) {
					t.Errorf("%s://%s: %+v", scheme, host, o)
				}
			}
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

// A name that is a permitted address at one time and another at the next brings nothing to the other: what is judged is what is connected to.
func TestGuardHoldsForFlippingNames(t *testing.T) {
	t.Parallel()
	inner := counter(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(inner.address)
	permitted := counter(t, "127.0.0.2:"+port)

	var asked atomic.Int32
	resolver := nameServer(t, func(name string) []netip.Addr {
		good, bad := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
		switch {
		case strings.HasPrefix(name, "both"):
			return []netip.Addr{bad, good}
		case asked.Add(1)%4 < 2: // each look-up asks for IPv4 and IPv6
			return []netip.Addr{good}
		}
		return []netip.Addr{bad}
	})
	w := deliver.NewWebhook(networks("127.0.0.2/32"), "test", deliver.WithResolver(resolver))
	t.Cleanup(w.Close)
	ends := map[deliver.State]int{}
	for i := range 40 {
		o := w.Send(t.Context(), subscription(fmt.Sprintf("http://flip.example:%s/%d", port, i)), event(1))
		ends[o.State]++
		if o.State == deliver.Failed && !strings.Contains(o.Error, "127.0.0.1") {
			t.Errorf("%+v", o)
		}
		w.Close() // look it up again
	}
	if ends[deliver.Delivered] == 0 || ends[deliver.Failed] == 0 {
		t.Errorf("the name did not flip: %v", ends)
	}
	if o := w.Send(t.Context(), subscription("http://both.example:"+port+"/"), event(1)); o.State != deliver.Delivered {
		t.Errorf("a name with both addresses: %+v", o)
	}
	if inner.requests.Load() != 0 || int(permitted.requests.Load()) != ends[deliver.Delivered]+1 {
		t.Errorf("%d requests at the one, %d at the other, %v", inner.requests.Load(), permitted.requests.Load(), ends)
	}
}

// receiverCounter counts the requests that come to an address.
type receiverCounter struct {
	address  string
	requests atomic.Int32
}

func counter(t *testing.T, address string) *receiverCounter {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &receiverCounter{address: listener.Addr().String()}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.requests.Add(1) })}}
	server.Start()
	t.Cleanup(server.Close)
	return c
}
