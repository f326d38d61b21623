package deliver_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// proxy is the network between one server and PostgreSQL, which a test can break.
type proxy struct {
	URL              string // of the database as the server, through the proxy
	listener         net.Listener
	network, address string // of PostgreSQL

	mu     sync.Mutex
	change *sync.Cond
	isDown bool // new connections are closed
	isDeaf bool // nothing passes, and nobody is told
	open   map[net.Conn]bool
}

func newProxy(t testing.TB, db *pgtest.Database) *proxy {
	t.Helper()
	cfg, err := pgconn.ParseConfig(db.URL("tinydev_server"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{open: map[net.Conn]bool{}}
	p.change = sync.NewCond(&p.mu)
	p.network, p.address = pgconn.NetworkAddress(cfg.Host, cfg.Port)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.URL = fmt.Sprintf("postgres://tinydev_server@%s/%s?sslmode=disable", p.listener.Addr(), db.Name)
	go p.serve()
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.network, p.address)
		if err != nil || !p.add(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		go p.pass(client, server)
		go p.pass(server, client)
	}
}

// add notes a pair of connections; false when the network is down.
func (p *proxy) add(pair ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isDown {
		return false
	}
	for _, c := range pair {
		p.open[c] = true
	}
	return true
}

// pass copies from one side to the other until either ends.
func (p *proxy) pass(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, from)
		delete(p.open, to)
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.isDeaf && p.open[from] {
			p.change.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections and refuses new ones, as when the server is killed.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown = true
	for c := range p.open {
		c.Close()
		delete(p.open, c)
	}
	p.change.Broadcast()
}

// block lets nothing pass any more, as when packets are lost.
func (p *proxy) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDeaf = true
}

// heal lets everything pass again, also what was held up.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown, p.isDeaf = false, false
	p.change.Broadcast()
}
