// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"errors"
	"os"
	"sync"
)

// delivery sends the values of one subscription to its channel. It has one goroutine, which
// waits for an event, or for room in the channel. Values wait in the kernel, not here.
type delivery struct {
	backend *backend
	key     string
	bucket  int
	out     chan<- string
	sub     *Subscriber
	ending  chan struct{} // closed by end
	ended   chan struct{} // closed when nothing is sent any more

	mu      sync.Mutex
	cond    sync.Cond
	seen    uint64 // version of the last value that was sent
	losses  int    // how often values were lost
	blocked bool   // the channel has no room
	over    bool   // as ended
}

func newDelivery(b *backend, key string, bucket int, out chan<- string, sub *Subscriber) *delivery {
	d := &delivery{
		backend: b, key: key, bucket: bucket, out: out, sub: sub,
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	d.cond.L = &d.mu
	return d
}

// run sends values until the subscription ends, end is called, or the channel is closed.
func (d *delivery) run() {
	defer d.finish()
	for {
		event, err := d.sub.Next(background)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // interrupted by end
			d.drain()
			return
		case err != nil || event.Type == EventFlushed:
			return
		case event.Type == EventLost:
			d.update(func() { d.losses++ })
		case !d.send(string(event.Value)):
			return
		default:
			d.update(func() { d.seen = event.Version })
		}
	}
}

func (d *delivery) update(change func()) {
	d.mu.Lock()
	change()
	d.mu.Unlock()
	d.cond.Broadcast()
}

// order: what a goroutine did before it published happened before the value is sent, and so
// before it is received. The way of the value through the kernel does not tell Go that.
// It returns the losses until then.
func (d *delivery) order() (losses int) {
	d.update(func() { losses = d.losses })
	return losses
}

// send sends a value, and waits for room unless d is ending. It reports whether to go on.
func (d *delivery) send(value string) (sent bool) {
	d.order()
	// The channel is closed. Nothing else in here panics.
	defer func() {
		if recover() != nil {
			sent = false
		}
	}()
	select {
	case d.out <- value:
		return true
	default:
	}
	d.update(func() { d.blocked = true })
	defer d.update(func() { d.blocked = false })
	select {
	case d.out <- value:
		return true
	case <-d.ending:
		return false
	}
}

// drain sends what waits still, as far as the channel has room.
func (d *delivery) drain() {
	for {
		event, ok, err := d.sub.TryNext()
		if !ok || err != nil || event.Type == EventFlushed {
			return
		}
		if event.Type != EventLost && !d.send(string(event.Value)) {
			return
		}
	}
}

// finish: the subscription is gone before anybody hears that it is over.
func (d *delivery) finish() {
	d.backend.remove(func(other *delivery) bool { return other == d })
	d.sub.Close()
	d.update(func() { d.over = true })
	close(d.ended)
}

// end lets the goroutine send what the channel has room for, and waits for its end.
func (d *delivery) end() {
	close(d.ending)
	d.sub.interrupt()
	<-d.ended
}

// await waits until a value was sent, or waits for room in the channel. It may have been lost
// if values were, since order returned those losses.
func (d *delivery) await(version uint64, losses int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.seen < version && d.losses == losses && !d.blocked && !d.over {
		d.cond.Wait()
	}
}
