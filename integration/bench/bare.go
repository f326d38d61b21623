package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

// bareServerCommand makes this program the bare server instead; it is given the address of the database.
const bareServerCommand = "bare-server"

// bareServer is one that runs.
type bareServer struct {
	address string
	pid     int
}

// startBare runs the bare server in a process of its own, as the measured server is.
func startBare(ctx context.Context, s *stage) (b bareServer, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return b, nil, err
	}
	cmd := exec.Command(self, bareServerCommand, s.pg.URL(user, cluster.Database))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return b, nil, err
	}
	if err := cmd.Start(); err != nil {
		return b, nil, fmt.Errorf("start the bare server: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		stop()
		return b, nil, fmt.Errorf("start the bare server: %w", err)
	}
	return bareServer{strings.TrimSpace(address), cmd.Process.Pid}, stop, nil
}

// serveBare is the least that fans out: a LISTEN, and for each client a channel and a handler that writes the frames that wait and flushes.
func serveBare(args []string) error {
	if len(args) != 1 {
		return errors.New("bare-server needs the address of the database")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := pgx.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	var mu sync.Mutex
	clients := map[chan []byte]struct{}{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		frames := make(chan []byte, 512)
		mu.Lock()
		clients[frames] = struct{}{}
		mu.Unlock()
		defer func() {
			mu.Lock()
			delete(clients, frames)
			mu.Unlock()
		}()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		flush := http.NewResponseController(w).Flush
		for err := flush(); err == nil; err = flush() {
			select {
			case <-r.Context().Done():
				return
			case frame := <-frames:
				for more := true; more; {
					if _, err := w.Write(frame); err != nil {
						return
					}
					select {
					case frame = <-frames:
					default:
						more = false
					}
				}
			}
		}
	})}
	go func() { _ = server.Serve(listener) }() // until the process ends
	fmt.Printf("http://%s\n", listener.Addr())
	for {
		n, err := conn.WaitForNotification(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		frame := bareFrame(n.Payload)
		mu.Lock()
		for c := range clients {
			c <- frame
		}
		mu.Unlock()
	}
}

// bareFrame is a frame as the server writes it.
func bareFrame(number string) []byte {
	return fmt.Appendf(nil, `id: %[1]s
event: tinydev.view.refreshed
data: {"id": "%[1]s", "data": {"rows": 3, "bench": %[1]s, "cause": "schedule", "changed": true, "deleted": 0, "inserted": 1, "duration_ms": 12, "concurrently": true}, "time": "%[2]s", "type": "tinydev.view.refreshed", "actor": "bench", "source": "urn:uuid:00000000-0000-0000-0000-000000000000", "subject": "bench.heard", "workspace": "bench", "specversion": "1.0", "datacontenttype": "application/json"}

`, number, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
}
