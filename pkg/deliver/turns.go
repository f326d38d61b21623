package deliver

import (
	"context"
	"sync"
)

// turns bounds what costs much by a user's doing: so many at the same time, and so many of each owner, so that one cannot take all
// places from the others.
type turns struct {
	all  chan struct{}
	each int // of one owner

	mu     sync.Mutex
	owners map[string]*turn
}

// turn is that of one owner.
type turn struct {
	free    chan struct{}
	wanting int
}

func newTurns(all, each int) *turns {
	return &turns{all: make(chan struct{}, all), each: each, owners: map[string]*turn{}}
}

// take waits for owner's turn, or until ctx ends, and gives what ends it.
func (t *turns) take(ctx context.Context, owner string) (end func()) {
	t.mu.Lock()
	own := t.owners[owner]
	if own == nil {
		own = &turn{free: make(chan struct{}, t.each)}
		t.owners[owner] = own
	}
	own.wanting++
	t.mu.Unlock()
	var taken []chan struct{}
	for _, c := range []chan struct{}{own.free, t.all} {
		select {
		case c <- struct{}{}:
			taken = append(taken, c)
		case <-ctx.Done():
		}
	}
	return func() {
		for _, c := range taken {
			<-c
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.wanting--; own.wanting == 0 {
			delete(t.owners, owner)
		}
	}
}
