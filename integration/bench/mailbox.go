package main

import (
	"io"
	"log"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is an SMTP server whose messages have the number of their event as subject.
type mailbox struct {
	server  *smtp.Server
	address string

	mu      sync.Mutex
	waiting map[int]chan time.Time
}

func startMailbox() (*mailbox, error) {
	m := &mailbox{waiting: map[int]chan time.Time{}}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailSession{m}, nil }))
	m.server.Domain = "bench.example"
	m.server.ErrorLog = log.New(io.Discard, "", 0) // clients that go away at the end
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m.address = listener.Addr().String()
	go func() { _ = m.server.Serve(listener) }() // until it is closed
	return m, nil
}

// expect gives a channel on which the time comes at which a message was taken.
func (m *mailbox) expect(number int) <-chan time.Time {
	c := make(chan time.Time, 1)
	m.mu.Lock()
	m.waiting[number] = c
	m.mu.Unlock()
	return c
}

type mailSession struct{ box *mailbox }

func (mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailSession) Reset()                               {}
func (mailSession) Logout() error                        { return nil }

func (s mailSession) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, message.Body); err != nil {
		return err
	}
	at := time.Now()
	number, err := strconv.Atoi(strings.TrimSpace(message.Header.Get("Subject")))
	if err != nil {
		return nil // not one that is measured
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if c := s.box.waiting[number]; c != nil {
		delete(s.box.waiting, number)
		c <- at
	}
	return nil
}
