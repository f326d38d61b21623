// Command smtpd is an SMTP server for tests, a process of its own: the protocol is github.com/emersion/go-smtp's, and what it takes is
// kept in memory. It prints its addresses, {"smtp":"127.0.0.1:4711","http":"127.0.0.1:4712"}, and serves until its standard input ends.
//
// GET /messages answers with what was taken, in order; POST /behave with a Behaviour changes how it answers from then on.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// behaviour is how the server answers. Answers are written as "550 5.1.1 no such user".
type behaviour struct {
	From    string            `json:"from"`    // answer to MAIL
	Refuse  map[string]string `json:"refuse"`  // answer to RCPT, by address
	Data    string            `json:"data"`    // answer to a message, which is not kept
	Hang    string            `json:"hang"`    // where it says nothing any more: "hello", "rcpt" or "data"
	HangFor string            `json:"hangFor"` // the recipient for whom it hangs; empty for all
	Drop    bool              `json:"drop"`    // keep a message and close the connection instead of answering
}

// message is one that was taken.
type message struct {
	From       string   `json:"from"`
	To         []string `json:"to"`
	Data       string   `json:"data"`
	Connection int      `json:"connection"` // number of the connection
	Hello      string   `json:"hello"`      // what the client called itself
	User       string   `json:"user"`       // who logged in
	TLS        bool     `json:"tls"`
}

type server struct {
	user, password string

	mu          sync.Mutex
	behaviour   behaviour
	messages    []message
	connections map[net.Conn]int
}

// behave gives the behaviour of now.
func (s *server) behave() behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// NewSession implements smtp.Backend; it is called at EHLO.
func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	if s.behave().Hang == "hello" {
		select {}
	}
	encrypted, isTLS := c.Conn().(*tls.Conn)
	raw := c.Conn()
	if isTLS {
		raw = encrypted.NetConn()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections[raw] == 0 {
		s.connections[raw] = len(s.connections) + 1
	}
	return &session{server: s, conn: c, message: message{Connection: s.connections[raw], Hello: c.Hostname(), TLS: isTLS}}, nil
}

// session is what one client does.
type session struct {
	server  *server
	conn    *smtp.Conn
	user    string
	message message // the one under way
}

func (s *session) AuthMechanisms() []string {
	if s.server.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.user || password != s.server.password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.user != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	if text := s.server.behave().From; text != "" {
		return answer(text)
	}
	s.message.From, s.message.To, s.message.User = from, nil, s.user
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	b := s.server.behave()
	if b.Hang == "rcpt" && (b.HangFor == "" || b.HangFor == to) {
		select {}
	}
	if text := b.Refuse[to]; text != "" {
		return answer(text)
	}
	s.message.To = append(s.message.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b := s.server.behave()
	if b.Hang == "data" && (b.HangFor == "" || slices.Contains(s.message.To, b.HangFor)) {
		select {}
	}
	if b.Data != "" {
		return answer(b.Data)
	}
	s.message.Data = string(text)
	s.server.mu.Lock()
	s.server.messages = append(s.server.messages, s.message)
	s.server.mu.Unlock()
	if b.Drop {
		return errors.Join(errors.New("dropped"), s.conn.Conn().Close())
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// answer makes the server's answer of a text such as "550 5.1.1 no such user".
func answer(text string) error {
	code, words, _ := strings.Cut(text, " ")
	number, err := strconv.Atoi(code)
	if err != nil {
		log.Fatalf("%q is no answer", text)
	}
	made := &smtp.SMTPError{Code: number, EnhancedCode: smtp.NoEnhancedCode, Message: words}
	var enhanced smtp.EnhancedCode
	if n, _ := fmt.Sscanf(words, "%d.%d.%d", &enhanced[0], &enhanced[1], &enhanced[2]); n == len(enhanced) {
		_, made.Message, _ = strings.Cut(words, " ")
		made.EnhancedCode = enhanced
	}
	return made
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address for SMTP")
	s := &server{connections: map[net.Conn]int{}}
	flag.StringVar(&s.user, "user", "", "who has to log in by AUTH PLAIN; empty for nobody")
	flag.StringVar(&s.password, "password", "", "of the user")
	cert := flag.String("cert", "", "file of a certificate; with it STARTTLS is offered")
	key := flag.String("key", "", "file of the certificate's key")
	first := flag.Bool("tls", false, "speak TLS from the first byte")
	flag.Parse()

	protocol := smtp.NewServer(s)
	protocol.Domain = "smtpd.example"
	protocol.AllowInsecureAuth = *cert == ""
	protocol.EnableSMTPUTF8 = true
	protocol.ErrorLog = log.New(io.Discard, "", 0) // clients that go away are what is tested
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	address := listener.Addr().String()
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		protocol.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
		if *first {
			listener = tls.NewListener(listener, protocol.TLSConfig)
		}
	}
	go func() {
		log.Fatal(protocol.Serve(listener))
	}()

	http.HandleFunc("GET /messages", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := json.NewEncoder(w).Encode(s.messages); err != nil {
			log.Print(err)
		}
	})
	http.HandleFunc("POST /behave", func(w http.ResponseWriter, r *http.Request) {
		var b behaviour
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.behaviour = b
	})
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		log.Fatal(http.Serve(control, nil))
	}()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"smtp": address, "http": control.Addr().String()}); err != nil {
		log.Fatal(err)
	}
	// Whoever started it holds the other end, and is gone when it closes.
	_, _ = io.Copy(io.Discard, os.Stdin)
}
