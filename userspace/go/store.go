// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"errors"
	"sync"
	"syscall"
)

// Store is a string map with publish and subscribe, with the methods of the Go library of
// the same name. After [Store.Init] it is a private store: other values and other processes
// do not see it. [OpenStore] makes one of the machine's store.
//
// The interface has no errors. A call that the kernel refuses (a key that is empty or longer
// than [KeyMax], a value that is longer than the store allows, a limit, no module) is a panic
// with a value of type [*Error] or [*os.PathError]. Get of such a key finds nothing.
//
// The embedded lock is there since the library has it. Its holder keeps Init, Close and the
// start of other calls out.
type Store struct {
	sync.RWMutex
	backend *backend
	bucket  int // of a MetaStore; allBuckets
}

const allBuckets = -1

// backend is what the buckets of a MetaStore have in common.
type backend struct {
	conn *Conn

	mu         sync.Mutex
	deliveries map[string][]*delivery // by key
}

var background = context.Background()

func newBackend(conn *Conn) *backend {
	return &backend{conn: conn, deliveries: make(map[string][]*delivery)}
}

// must is for calls that cannot return an error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Init makes s a new, empty, private store. Its store of before is closed.
func (s *Store) Init() {
	conn, err := OpenPrivate(background, Limits{})
	must(err)
	s.set(newBackend(conn), allBuckets)
}

// OpenStore opens a store that others share, as [Open] does.
func OpenStore(path string) (*Store, error) {
	conn, err := Open(path, ReadWrite)
	if err != nil {
		return nil, err
	}
	s := new(Store)
	s.set(newBackend(conn), allBuckets)
	return s, nil
}

func (s *Store) set(b *backend, bucket int) {
	s.Lock()
	old := s.backend
	s.backend, s.bucket = b, bucket
	s.Unlock()
	if old != nil && old != b {
		old.close()
	}
}

// use returns the backend of a store that was initialized.
func (s *Store) use() *backend {
	s.RLock()
	defer s.RUnlock()
	if s.backend == nil {
		panic(errors.New("metastore: the store was not initialized"))
	}
	return s.backend
}

// Close ends the subscriptions of s and closes it. A private store is gone then. Without
// subscriptions the garbage collector does that too.
func (s *Store) Close() { s.set(nil, allBuckets) }

// Conn returns the open store, for all that the other methods cannot do.
func (s *Store) Conn() *Conn { return s.use().conn }

// Set stores a value. Subscribers do not hear of it.
func (s *Store) Set(key, value string) {
	_, err := s.use().conn.Set(background, key, []byte(value))
	must(err)
}

// Get returns the value of a key, and whether there is one.
func (s *Store) Get(key string) (value string, ok bool) {
	data, err := s.use().conn.Get(background, key)
	if is(err, syscall.ENOENT, syscall.EINVAL) {
		return "", false
	}
	must(err)
	return string(data), true
}

// Delete removes a value, if there is one. Subscriptions stay.
func (s *Store) Delete(key string) {
	_, err := s.use().conn.Delete(background, key)
	if !is(err, syscall.ENOENT) {
		must(err)
	}
}

// Publish stores a value and sends it to the channels that subscribed to the key. It never
// waits for a channel: a value that a channel has no room for waits in the kernel, in a queue
// of that channel. When Publish returns, each channel of this program with room, or with
// a receiver that waits, has the value.
func (s *Store) Publish(key, value string) {
	b := s.use()
	// Those that subscribed before: they get the event.
	deliveries := b.of(key)
	losses := make([]int, len(deliveries))
	for i, d := range deliveries {
		losses[i] = d.order()
	}
	version, _, err := b.conn.Publish(background, key, []byte(value))
	must(err)
	for i, d := range deliveries {
		d.await(version, losses[i])
	}
}

// Subscribe sends the values that are published under a key to a channel, in their order.
// It ends by Unsubscribe, by FlushAll, and when a value is to be sent to a channel that the
// program closed. A channel can subscribe to several keys, and several times.
func (s *Store) Subscribe(key string, outgoing chan<- string) {
	must(s.use().subscribe(key, outgoing))
}

// Unsubscribe ends all subscriptions of a channel to a key. Values that wait are sent as far
// as the channel has room; after Unsubscribe none is sent.
func (s *Store) Unsubscribe(key string, outgoing chan<- string) {
	b := s.use()
	for _, d := range b.remove(func(d *delivery) bool { return d.key == key && d.out == outgoing }) {
		err := d.sub.Unsubscribe(background, key)
		d.end()
		// A flush may have ended it, or a closed channel.
		if !is(err, syscall.ENOENT, syscall.EBADF) {
			must(err)
		}
	}
}

// NumSubscribers returns the number of subscriptions to a key. In a shared store it counts
// those of other programs too.
func (s *Store) NumSubscribers(key string) int {
	n, err := s.use().conn.Subscribers(background, key)
	if is(err, syscall.EINVAL) {
		return 0
	}
	must(err)
	return n
}

// FlushAll deletes all keys and ends all subscriptions; of a bucket of a [MetaStore] its own.
// In a shared store this needs CAP_SYS_ADMIN, and panics without.
func (s *Store) FlushAll() {
	b := s.use()
	options := []FlushOption{FlushSubscriptions(), FlushSteal()}
	if s.bucket != allBuckets {
		options = append(options, FlushBucket(s.bucket))
	}
	_, err := b.conn.Flush(background, "", options...)
	must(err)
	for _, d := range b.remove(func(d *delivery) bool {
		return s.bucket == allBuckets || s.bucket == d.bucket
	}) {
		d.end()
	}
}

// Lost returns how many values a channel did not get since its queues in the kernel were full.
// It counts its present subscriptions.
func (s *Store) Lost(outgoing chan<- string) uint64 {
	lost := uint64(0)
	b := s.use()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, deliveries := range b.deliveries {
		for _, d := range deliveries {
			if d.out == outgoing {
				counters, err := d.sub.Subscription(background, d.key)
				if err == nil {
					lost += counters.Lost
				}
			}
		}
	}
	return lost
}

func (b *backend) of(key string) []*delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*delivery(nil), b.deliveries[key]...)
}

// remove takes out those that match, and returns them.
func (b *backend) remove(match func(*delivery) bool) (removed []*delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, deliveries := range b.deliveries {
		var rest []*delivery
		for _, d := range deliveries {
			if match(d) {
				removed = append(removed, d)
			} else {
				rest = append(rest, d)
			}
		}
		if len(rest) > 0 {
			b.deliveries[key] = rest
		} else {
			delete(b.deliveries, key)
		}
	}
	return removed
}

func (b *backend) subscribe(key string, out chan<- string) error {
	bucket, _, err := b.conn.Bucket(background, key)
	if err != nil {
		return err
	}
	// An open file of its own: its queue is that of this channel alone.
	sub, err := b.conn.Subscribe(background, key)
	if err != nil {
		return err
	}
	d := newDelivery(b, key, bucket, out, sub)
	b.mu.Lock()
	b.deliveries[key] = append(b.deliveries[key], d)
	b.mu.Unlock()
	go d.run()
	return nil
}

func (b *backend) close() {
	for _, d := range b.remove(func(*delivery) bool { return true }) {
		d.end()
	}
	b.conn.Close()
}
