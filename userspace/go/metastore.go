// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import "sync"

// MetaStore is a [Store] whose keys are split over buckets, with the methods of the Go
// library of the same name. All buckets are of one store: a key is always in the bucket that
// the hasher tells, through whatever element of Bucket it is reached.
type MetaStore struct {
	sync.RWMutex
	Bucket []Store
	whole  Store
}

// Init makes m a new, empty, private store of n buckets, 1 to 65,536. A store has use for as
// many as CPUs write to it.
func (m *MetaStore) Init(n uint) {
	if n == 0 || n > 1<<16 {
		panic(fail("init", "", ErrBadArg))
	}
	conn, err := OpenPrivate(background, Limits{Buckets: int(n)})
	must(err)
	m.set(conn, int(n))
}

// OpenMetaStore opens a store that others share, as [Open] does, with the buckets that it has.
func OpenMetaStore(path string) (*MetaStore, error) {
	conn, err := Open(path, ReadWrite)
	if err != nil {
		return nil, err
	}
	info, err := conn.Info(background)
	if err != nil {
		conn.Close()
		return nil, err
	}
	m := new(MetaStore)
	m.set(conn, info.Buckets)
	return m, nil
}

func (m *MetaStore) set(conn *Conn, n int) {
	m.Lock()
	defer m.Unlock()
	b := newBackend(conn)
	m.whole.set(b, allBuckets)
	m.Bucket = make([]Store, n)
	for i := range m.Bucket {
		m.Bucket[i].set(b, i)
	}
}

// Close ends the subscriptions of m and closes it.
func (m *MetaStore) Close() { m.whole.Close() }

// Conn returns the open store.
func (m *MetaStore) Conn() *Conn { return m.whole.Conn() }

// GetHasher returns a function that tells the bucket of a key.
func (m *MetaStore) GetHasher() func([]byte) uint {
	conn := m.Conn()
	return func(key []byte) uint {
		bucket, _, err := conn.Bucket(background, string(key))
		if is(err, ErrBadArg) {
			return 0 // No such key can exist.
		}
		must(err)
		return uint(bucket)
	}
}

// Set stores a value. See [Store.Set].
func (m *MetaStore) Set(key, value string) { m.whole.Set(key, value) }

// Get returns the value of a key, and whether there is one.
func (m *MetaStore) Get(key string) (string, bool) { return m.whole.Get(key) }

// Delete removes a value, if there is one. Subscriptions stay.
func (m *MetaStore) Delete(key string) { m.whole.Delete(key) }

// Publish stores a value and sends it to subscribers. See [Store.Publish].
func (m *MetaStore) Publish(key, value string) { m.whole.Publish(key, value) }

// Subscribe sends the values that are published to a channel. See [Store.Subscribe].
func (m *MetaStore) Subscribe(key string, outgoing chan<- string) { m.whole.Subscribe(key, outgoing) }

// Unsubscribe ends all subscriptions of a channel to a key. See [Store.Unsubscribe].
func (m *MetaStore) Unsubscribe(key string, outgoing chan<- string) {
	m.whole.Unsubscribe(key, outgoing)
}

// NumSubscribers returns the number of subscriptions to a key.
func (m *MetaStore) NumSubscribers(key string) int { return m.whole.NumSubscribers(key) }

// FlushAll deletes all keys and ends all subscriptions.
func (m *MetaStore) FlushAll() { m.whole.FlushAll() }
