package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
	"github.com/tinydevcrm/tinydevcrm/pkg/web"
)

// serverConnections is the size of the server's own pool: the relay, tokens, rights of sessions.
const serverConnections = 12

// server is one run.
type server struct {
	cfg      config.Config
	log      *slog.Logger
	user     string
	listener net.Listener
	out      io.Writer
	url      string           // as tinydev_server
	userURL  string           // as the user, for psql
	signer   *postgres.Signer // nil where the role's name alone opens the way

	pool        *pgxpool.Pool
	deliverPool *pgxpool.Pool
	sessions    *postgres.Sessions
	relay       *relay.Relay
	deliverer   *deliver.Deliverer
	verbs       *control.Control
	cron        cronWatch
	health      healthWatch
	auth        *auth.Auth
	metrics     *observe.Metrics
	api         *api.Service
	pages       *web.Web
}

// running is what <data-dir>/server.json tells the command line.
type running struct {
	URL         string `json:"url"`
	DatabaseURL string `json:"database_url"`
	PID         int    `json:"pid"`
	User        string `json:"user"`
	CACert      string `json:"ca_cert,omitempty"` // with these, database_url needs a certificate
	CAKey       string `json:"ca_key,omitempty"`
}

// heapFloor is memory that is never touched, and so is none. The garbage collector waits until the heap has doubled: that of a server is
// small, and it would collect every few milliseconds under load.
func heapFloor() []byte { return make([]byte, 32<<20) }

// run starts what needs the database, serves until ctx ends, and stops in the reverse order.
func (s *server) run(ctx context.Context) error {
	defer runtime.KeepAlive(heapFloor())
	if err := s.assemble(ctx); err != nil {
		return startEnded(ctx, err)
	}
	defer s.close()

	relaying, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	relayed := make(chan error, 1)
	go func() { relayed <- s.relay.Run(relaying) }()
	defer func() {
		stopRelay()
		if err := <-relayed; err != nil {
			s.log.Error("the relay ended", observe.KeyError, err)
		}
	}()
	s.awaitRelay(ctx)
	delivering, stopDelivering := context.WithCancel(relaying)
	delivered := make(chan error, 1)
	go func() { delivered <- s.deliverer.Run(delivering) }()
	// Before the relay ends, so that what was sent is recorded and other servers go on at once.
	defer func() {
		stopDelivering()
		if err := <-delivered; err != nil {
			s.log.Error("deliveries ended", observe.KeyError, err)
		}
	}()
	go s.watchEvents(relaying)
	go every(relaying, limitsEvery, s.enforceLimits)
	go every(relaying, healthEvery, s.examine)
	go s.watchSchedules(relaying)
	go every(relaying, freshnessEvery, s.checkFreshness)

	httpServer, err := s.httpServer()
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		if s.cfg.TLS() {
			served <- httpServer.ServeTLS(s.listener, "", "")
		} else {
			served <- httpServer.Serve(s.listener)
		}
	}()
	if err := s.announce(); err != nil {
		return errors.Join(err, httpServer.Close())
	}
	select {
	case err = <-served:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		err = nil
	}
	s.log.Info("stopping")
	err = errors.Join(err, s.withdraw())
	stopDelivering()
	stopRelay() // streams end by themselves, with a proper close
	waiting, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	if late := httpServer.Shutdown(waiting); late != nil {
		s.log.Warn("requests did not end in time and are cut off", "after", requestPatience)
		err = errors.Join(err, httpServer.Close())
	}
	return err
}

// assemble makes all parts and signs the user in.
func (s *server) assemble(ctx context.Context) error {
	token, err := auth.KeptToken(s.file("token"))
	if err != nil {
		return err
	}
	spool := s.file("spool")
	if n, err := ingest.CleanSpool(spool); err != nil {
		return err
	} else if n > 0 {
		s.log.Info("removed files that a killed server left in the spool", "files", n)
	}
	login := addresses{signer: s.signer}.credentials()
	if s.pool, err = postgres.Open(ctx, s.url, "tinydev server", serverConnections, login...); err != nil {
		return err
	}
	if s.deliverPool, err = postgres.Open(ctx, s.url, "tinydev deliver", deliverConnections, login...); err != nil {
		s.pool.Close()
		return err
	}
	options := postgres.Options{Total: int(s.cfg.MaxSessions), PerUser: int(s.cfg.MaxSessionsPerUser)}
	if s.signer != nil {
		options.Credential = s.signer.Credential
	}
	s.sessions = postgres.NewSessions(s.url, s.pool, options)
	if err := s.build(ctx, token, spool); err != nil {
		s.close()
		return err
	}
	return nil
}

func (s *server) build(ctx context.Context, token, spool string) (err error) {
	signOn, err := s.newSignOn(ctx, token)
	if err != nil {
		return err
	}
	options := auth.Options{Server: s.pool, Token: token, Secure: s.cfg.TLS(), Logger: s.log}
	if signOn != nil {
		options.JWT = signOn
	}
	if s.auth, err = auth.New(options); err != nil {
		return err
	}
	if err := s.auth.Register(ctx, s.user, tokenName(s.cfg.DataDir), token); err != nil {
		return err
	}
	s.relay = relay.New(s.pool, s.log)
	s.metrics = observe.NewMetrics(Version)
	s.metrics.WatchRelay(s.relay)
	s.metrics.WatchPool(func() observe.Pool {
		stat := s.pool.Stat()
		return observe.Pool{Used: stat.AcquiredConns(), Idle: stat.IdleConns(), Max: stat.MaxConns()}
	})
	s.metrics.WatchSessions(func() observe.Sessions {
		stat := s.sessions.Stat()
		return observe.Sessions{Open: stat.Open, Idle: stat.Idle, Waiting: stat.Waiting, Max: stat.Max}
	})
	loader := &ingest.Loader{Sessions: s.sessions, SpoolDir: spool, Logger: s.log,
		MaxUploadBytes: int64(s.cfg.MaxUploadBytes), MaxSpoolBytes: int64(s.cfg.MaxSpoolBytes)}
	s.verbs = control.New(s.sessions)
	s.verbs.CheckOptions = deliver.CheckOptions
	if s.deliverer, err = s.newDeliverer(s.verbs); err != nil {
		return err
	}
	s.metrics.WatchDeliverer(s.deliverer.Held)
	s.api, err = api.New(api.Options{Control: s.verbs, Loader: loader, Relay: s.relay, Deliverer: s.deliverer, Auth: s.auth, Metrics: s.metrics, Logger: s.log, Version: Version,
		Listen: s.listener.Addr().String(), Hosts: s.hosts(), MaxCellBytes: int(s.cfg.MaxCellBytes), Ready: s.ready,
		Health: s.health.health, Canary: func(ctx context.Context) { s.canary(ctx, canaryOnDemand) },
		MaxStreams: int(s.cfg.MaxStreams), MaxStreamsPerToken: int(s.cfg.MaxStreamsPerToken)})
	if err != nil {
		return err
	}
	pages := web.Options{Control: s.verbs, Loader: loader, Auth: s.auth, Deliverer: s.deliverer, SpoolDir: spool, UploadLimit: int64(s.cfg.MaxUploadBytes),
		SpoolLimit: int64(s.cfg.MaxSpoolBytes), Logger: s.log}
	if signOn != nil {
		pages.SignOn = signOn
	}
	if s.pages, err = web.New(pages); err != nil {
		return err
	}
	s.pages.Register(s.api.Echo)
	return nil
}

// awaitRelay waits until events are relayed, so that who is told of the address can follow them, but not for ever: all else works
// without.
func (s *server) awaitRelay(ctx context.Context) {
	limit := time.NewTimer(relayPatience)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !s.relay.Ready() {
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			s.log.Warn("events are not relayed yet", "after", relayPatience)
			return
		case <-look.C:
		}
	}
}

// ready tells whether requests can be answered. Errors: unavailable database_unavailable, relay_behind, cron_stalled.
func (s *server) ready(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fault.New(fault.Unavailable, "database_unavailable", "the database does not answer").WithHint("it may be restarting; try again in a few seconds").Because(err)
	}
	if !s.relay.Ready() {
		return fault.New(fault.Unavailable, "relay_behind", "events are not relayed at the moment").WithHint("the server's log says why; nothing is lost")
	}
	return s.cron.fault()
}

func (s *server) httpServer() (*http.Server, error) {
	h := &http.Server{
		Handler:           s.api,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.cfg.TLS() {
		pair, err := tls.LoadX509KeyPair(s.cfg.TLSCert, s.cfg.TLSKey)
		if err != nil {
			return nil, fault.New(fault.Invalid, "config_invalid", "the certificate cannot be used: %v", err).
				WithHint("TINYDEV_TLS_CERT and TINYDEV_TLS_KEY name PEM files of a certificate and its key").Because(err)
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	return h, nil
}

// address gives the URL under which the server is told to be.
func (s *server) address() string {
	scheme := "http://"
	if s.cfg.TLS() {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return scheme + s.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if len(s.cfg.Hosts) > 0 {
			host = s.cfg.Hosts[0]
		}
	}
	return scheme + net.JoinHostPort(host, port)
}

// announce writes server.json and prints the address.
func (s *server) announce() error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // an address is to be read by people and by sed
	told := running{URL: s.address(), DatabaseURL: s.userURL, PID: os.Getpid(), User: s.user}
	if s.signer != nil {
		told.CACert, told.CAKey = s.signer.Files()
	}
	if err := encoder.Encode(told); err != nil {
		return fmt.Errorf("describe the server: %w", err)
	}
	if err := auth.WriteFile(s.file("server.json"), text.Bytes()); err != nil {
		return fmt.Errorf("write server.json: %w", err)
	}
	flag := ""
	if s.cfg.DataDir != ".tinydev" {
		flag = " --data-dir " + shellWord(s.cfg.DataDir)
	}
	_, err := fmt.Fprintf(s.out, `TinyDevCRM is ready: %s/?code=%s

Open that address in a browser (it is good once), or in another terminal:

  eval "$(%s env%s)"      # sets TINYDEV_URL, TINYDEV_TOKEN and DATABASE_URL
  %[3]s demo%[4]s             # shows the whole way from a file to an event

User and workspace: %s. Ctrl-C stops the server.
`, s.address(), s.auth.NewCode(s.user), program(), flag, s.user)
	return err
}

// withdraw removes server.json.
func (s *server) withdraw() error {
	if err := os.Remove(s.file("server.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove server.json: %w", err)
	}
	return nil
}

// program is how the user started us.
func program() string {
	if len(os.Args) == 0 || !strings.HasSuffix(filepath.Base(os.Args[0]), "tinydev") {
		return "bin/tinydev"
	}
	return shellWord(os.Args[0])
}

// shellWord quotes a word for a shell when it needs it.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// close ends what assemble made; it waits for sessions in use, but not for ever.
func (s *server) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.pages != nil {
			if err := s.pages.Close(); err != nil {
				s.log.Warn("files stay in the spool until the next start", observe.KeyError, err)
			}
		}
		s.sessions.Close()
		s.deliverPool.Close()
		s.pool.Close()
	}()
	select {
	case <-done:
	case <-time.After(closePatience):
		s.log.Warn("sessions did not end in time; PostgreSQL ends them")
	}
}

// watchEvents measures what reaches subscribers, as one of them.
func (s *server) watchEvents(ctx context.Context) {
	for ctx.Err() == nil {
		sub, err := s.relay.Subscribe(ctx, s.user, -1, relay.Filter{})
		if err == nil {
			for event := range sub.Events() {
				s.metrics.Events.WithLabelValues(event.Type).Inc()
				var at struct {
					Time time.Time `json:"time"`
				}
				if json.Unmarshal(event.JSON, &at) == nil {
					s.metrics.RelayLag.Observe(max(0, time.Since(at.Time).Seconds()))
				}
			}
			sub.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// tokenName names the token of a data directory, so that servers with one each on one database do not take it from each other.
func tokenName(dataDir string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	if absolute, err := filepath.Abs(dataDir); err == nil {
		dataDir = absolute
	}
	return host + ":" + dataDir
}
