// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// stringMap is what Store, MetaStore and its buckets have in common: the library's methods.
type stringMap interface {
	Set(key, value string)
	Get(key string) (string, bool)
	Delete(key string)
	FlushAll()
	Publish(key, value string)
	Subscribe(key string, outgoing chan<- string)
	Unsubscribe(key string, outgoing chan<- string)
	NumSubscribers(key string) int
}

// The fields and the methods of the library that are not in stringMap.
var (
	_ interface{ Init() }                        = new(Store)
	_ interface{ Init(uint) }                    = new(MetaStore)
	_ interface{ GetHasher() func([]byte) uint } = new(MetaStore)
	_ interface {
		Lock()
		Unlock()
		RLock()
		RUnlock()
	} = new(Store)
	_ sync.Locker = new(MetaStore)
	_ []Store     = MetaStore{}.Bucket
)

// eachMap runs a test with a Store, a MetaStore and a bucket of one.
func eachMap(t *testing.T, test func(t *testing.T, s stringMap)) {
	t.Run("Store", func(t *testing.T) {
		var s Store
		s.Init()
		defer s.Close()
		test(t, &s)
	})
	t.Run("MetaStore", func(t *testing.T) {
		var m MetaStore
		m.Init(1000)
		defer m.Close()
		test(t, &m)
	})
	t.Run("Bucket", func(t *testing.T) {
		var m MetaStore
		m.Init(3)
		defer m.Close()
		test(t, &m.Bucket[m.GetHasher()([]byte("k"))])
	})
}

func expectValue(t *testing.T, s stringMap, key, expected string, there bool) {
	t.Helper()
	if value, ok := s.Get(key); ok != there || value != expected {
		t.Fatalf("%s is %q, %v", key, value, ok)
	}
}

// expectSent fails unless the channel has a value already.
func expectSent(t *testing.T, c chan string, expected string) {
	t.Helper()
	select {
	case value := <-c:
		same(t, "value", value, expected)
	default:
		t.Fatalf("%q was not sent", expected)
	}
}

func expectNothing(t *testing.T, c chan string) {
	t.Helper()
	select {
	case value := <-c:
		t.Fatalf("%q was sent", value)
	case <-time.After(20 * time.Millisecond):
	}
}

func TestStoreIsAMap(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		expectValue(t, s, "k", "", false)
		s.Set("k", "1")
		expectValue(t, s, "k", "1", true)
		s.Set("k", "")
		expectValue(t, s, "k", "", true)
		s.Delete("k")
		s.Delete("k")
		expectValue(t, s, "k", "", false)
		expectValue(t, s, "", "", false)
		same(t, "subscribers", s.NumSubscribers(""), 0)
	})
}

func TestStorePublishes(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		c := make(chan string, 3)
		s.Subscribe("k", c)
		same(t, "subscribers", s.NumSubscribers("k"), 1)
		s.Set("k", "not told")
		s.Publish("k", "1")
		s.Publish("k", "2")
		// Channels with room have it when Publish returns, as in the library.
		expectSent(t, c, "1")
		expectSent(t, c, "2")
		expectNothing(t, c)
		expectValue(t, s, "k", "2", true)

		unbuffered := make(chan string)
		s.Subscribe("k", unbuffered)
		go s.Publish("k", "3")
		same(t, "value", <-unbuffered, "3")
		same(t, "value", <-c, "3")
		s.Unsubscribe("k", unbuffered)
		s.Publish("k", "4")
		expectSent(t, c, "4")
		expectNothing(t, unbuffered)
		same(t, "subscribers", s.NumSubscribers("k"), 1)
	})
}

func TestStoreFlushAll(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		c := make(chan string, 1)
		s.Set("k", "1")
		s.Subscribe("k", c)
		s.FlushAll()
		expectValue(t, s, "k", "", false)
		same(t, "subscribers", s.NumSubscribers("k"), 0)
		s.Publish("k", "2")
		expectNothing(t, c)
		s.Subscribe("k", c)
		s.Publish("k", "3")
		expectSent(t, c, "3")
	})
}

// A stuck channel stalls no publisher, and gets all values in their order later.
func TestStuckChannel(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		const values = 500

		stuck, free := make(chan string), make(chan string, values)
		s.Subscribe("k", stuck)
		s.Subscribe("k", free)
		for i := 0; i < values; i++ {
			s.Publish("k", fmt.Sprint(i))
		}
		same(t, "values", len(free), values)
		for i := 0; i < values; i++ {
			same(t, "value", <-stuck, fmt.Sprint(i))
		}
		// It ends although nobody receives.
		s.Publish("k", "more")
		s.Unsubscribe("k", stuck)
	})
}

func TestStuckChannelLosesTheOldest(t *testing.T) {
	var s Store
	s.Init()
	defer s.Close()
	info, err := s.Conn().Info(background)
	check(t, err)
	stuck := make(chan string)
	// The losses of one channel are those of all its keys.
	for n, key := range []string{"k", "other"} {
		s.Subscribe(key, stuck)
		s.Publish(key, "first")
		same(t, "lost values", int(s.Lost(stuck)), n*10)
		for i := 0; i < info.QueueLen+10; i++ {
			s.Publish(key, fmt.Sprint(i))
		}
		same(t, "lost values", int(s.Lost(stuck)), (n+1)*10)
	}
}

func TestClosedChannelUnsubscribes(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		goroutines := runtime.NumGoroutine()
		c, other, blocked := make(chan string), make(chan string, 9), make(chan string)
		s.Subscribe("k", c)
		s.Subscribe("k", other)
		close(c)
		s.Publish("k", "1")
		same(t, "subscribers", s.NumSubscribers("k"), 1)
		expectSent(t, other, "1")
		s.Unsubscribe("k", c)

		s.Subscribe("k", blocked)
		s.Publish("k", "2")
		// A value waits for room. To close the channel then is a race by Go's rules.
		if raceDetector {
			s.Unsubscribe("k", blocked)
		}
		close(blocked)
		settles(t, "it is unsubscribed", func() bool { return s.NumSubscribers("k") == 1 })
		s.Unsubscribe("k", other)
		settles(t, "its goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
}

// A receiver sees what the publisher did before. The race detector judges that.
func TestPublishOrdersMemory(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		c := make(chan string)
		written := 0
		s.Subscribe("k", c)
		go func() {
			written = 1
			s.Publish("k", "1")
		}()
		same(t, "value", <-c, "1")
		same(t, "what was written", written, 1)
	})
}

// As the library has it: what was published before Unsubscribe is in the channel.
func TestUnsubscribeSendsWhatWaits(t *testing.T) {
	eachMap(t, func(t *testing.T, s stringMap) {
		c := make(chan string, 10)
		s.Subscribe("k", c)
		s.Subscribe("other", c)
		for i := 0; i < 3; i++ {
			s.Publish("k", fmt.Sprint(i))
		}
		s.Unsubscribe("k", c)
		s.Unsubscribe("other", c)
		close(c)
		all := ""
		for value := range c {
			all += value
		}
		same(t, "values", all, "012")
	})
}

// So is what others published, which nobody waited for.
func TestUnsubscribeSendsWhatOthersPublished(t *testing.T) {
	const values = 300

	var s Store
	s.Init()
	defer s.Close()
	c := make(chan string, values)
	s.Subscribe("k", c)
	// It sends nothing before it is to end.
	d := s.backend.of("k")[0]
	d.mu.Lock()
	// More than one read takes
	for i := 0; i < values; i++ {
		publish(t, s.Conn(), "k", strings.Repeat("v", 1000))
	}
	done := make(chan struct{})
	go func() {
		s.Unsubscribe("k", c)
		close(done)
	}()
	<-d.ending
	select {
	case <-done:
		t.Error("Unsubscribe does not wait")
	case <-time.After(20 * time.Millisecond):
	}
	d.mu.Unlock()
	<-done
	same(t, "values", len(c), values)
}

// smallStore returns a store whose queues hold little.
func smallStore(t *testing.T, limits Limits) *Store {
	t.Helper()
	conn, err := OpenPrivate(background, limits)
	check(t, err)
	s := new(Store)
	s.set(newBackend(conn), allBuckets)
	t.Cleanup(s.Close)
	return s
}

// The goroutine waits in Go's poller when values come, some of which are lost, and when it is
// to end: it sends those that are left.
func TestUnsubscribeSendsWhatComesAtTheEnd(t *testing.T) {
	const left = "2345"

	// Nobody else looks into the poller before Unsubscribe waits for the end.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := smallStore(t, Limits{QueueLen: len(left)})
	for i := 0; i < 50; i++ {
		c := make(chan string, 9)
		s.Subscribe("k", c)
		time.Sleep(time.Millisecond)
		for n := 0; n < 6; n++ {
			publish(t, s.Conn(), "k", fmt.Sprint(n))
		}
		s.Unsubscribe("k", c)
		close(c)
		all := ""
		for value := range c {
			if value == "" {
				t.Fatal("a loss was sent as a value")
			}
			all += value
		}
		if !strings.HasSuffix(all, left) {
			t.Fatalf("%q were sent, not all of %q", all, left)
		}
	}
}

// A value that is too long for the queue of a channel is lost: Publish does not wait for it,
// however soon the loss is told.
func TestPublishDoesNotWaitForALoss(t *testing.T) {
	const losses = 200

	s := smallStore(t, Limits{QueueBytes: 4096})
	c := make(chan string, 1)
	s.Subscribe("k", c)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < losses; i++ {
			select {
			case <-stop:
				return
			default:
				s.Publish("k", strings.Repeat("x", 10000))
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(patience()):
		close(stop)
		t.Fatal("Publish waits for a value that was lost")
	}
	same(t, "lost values", int(s.Lost(c)), losses)
	s.Publish("k", "short")
	expectSent(t, c, "short")
}

func TestOneChannelSeveralTimes(t *testing.T) {
	var s Store
	s.Init()
	defer s.Close()
	c := make(chan string, 4)
	s.Subscribe("a", c)
	s.Subscribe("a", c)
	s.Subscribe("b", c)
	same(t, "subscribers", s.NumSubscribers("a"), 2)
	s.Publish("a", "1")
	s.Publish("b", "2")
	expectSent(t, c, "1")
	expectSent(t, c, "1")
	expectSent(t, c, "2")
	s.Unsubscribe("a", c)
	same(t, "subscribers", s.NumSubscribers("a"), 0)
	same(t, "subscribers", s.NumSubscribers("b"), 1)
}

// All subscribers get the values of concurrent publishers in one order, that of the store.
func TestOrder(t *testing.T) {
	const publishers, values, subscribers = 4, 50, 3

	var s Store
	var wait sync.WaitGroup
	s.Init()
	defer s.Close()
	var channels [subscribers]chan string
	for i := range channels {
		channels[i] = make(chan string, publishers*values)
		s.Subscribe("k", channels[i])
	}
	for p := 0; p < publishers; p++ {
		wait.Add(1)
		go func(p int) {
			defer wait.Done()
			for i := 0; i < values; i++ {
				s.Publish("k", fmt.Sprintf("%d_%d", p, i))
			}
		}(p)
	}
	wait.Wait()
	last := ""
	for i := 0; i < publishers*values; i++ {
		last = <-channels[0]
		for _, c := range channels[1:] {
			same(t, "value", <-c, last)
		}
	}
	expectValue(t, &s, "k", last, true)
}

func TestMetaStoreBuckets(t *testing.T) {
	const n = 7

	var m MetaStore
	m.Init(n)
	defer m.Close()
	same(t, "buckets", len(m.Bucket), n)
	hash := m.GetHasher()
	used := map[uint]bool{}
	for i := 0; i < 100; i++ {
		key := fmt.Sprint(i)
		bucket := hash([]byte(key))
		used[bucket] = true
		m.Bucket[bucket].Set(key, "1")
		expectValue(t, &m, key, "1", true)
	}
	same(t, "used buckets", len(used), n)

	a, b := "0", ""
	for i := 1; b == ""; i++ {
		if key := fmt.Sprint(i); hash([]byte(key)) != hash([]byte(a)) {
			b = key
		}
	}
	c := make(chan string, 2)
	m.Subscribe(a, c)
	m.Subscribe(b, c)
	m.Bucket[hash([]byte(a))].FlushAll()
	expectValue(t, &m, a, "", false)
	expectValue(t, &m, b, "1", true)
	same(t, "subscribers", m.NumSubscribers(a), 0)
	m.Bucket[hash([]byte(b))].Publish(b, "2")
	expectSent(t, c, "2")
	m.FlushAll()
	expectValue(t, &m, b, "", false)
}

func TestInitAgain(t *testing.T) {
	var s Store
	s.Init()
	c := make(chan string, 1)
	s.Set("k", "1")
	s.Subscribe("k", c)
	s.Init()
	defer s.Close()
	expectValue(t, &s, "k", "", false)
	s.Publish("k", "2")
	expectNothing(t, c)
}

func TestStoresAreSeparate(t *testing.T) {
	var a, b Store
	a.Init()
	b.Init()
	defer a.Close()
	defer b.Close()
	a.Set("k", "1")
	expectValue(t, &b, "k", "", false)
}

func TestSharedStore(t *testing.T) {
	a, err := OpenStore("")
	check(t, err)
	defer a.Close()
	b, err := OpenMetaStore("")
	check(t, err)
	defer b.Close()
	info, err := a.Conn().Info(background)
	check(t, err)
	same(t, "buckets", len(b.Bucket), info.Buckets)
	c := make(chan string, 1)
	b.Subscribe("shared", c)
	a.Publish("shared", "1")
	same(t, "value", <-c, "1")
	expectValue(t, b, "shared", "1", true)
	a.FlushAll()
	settles(t, "the other one hears of the flush", func() bool { return len(b.whole.backend.of("shared")) == 0 })
	_, err = OpenStore("/absent")
	want(t, err, ErrNotFound)
	_, err = OpenMetaStore("/absent")
	want(t, err, ErrNotFound)
}

func expectPanic(t *testing.T, expected error, call func()) {
	t.Helper()
	defer func() {
		t.Helper()
		err, _ := recover().(error)
		if expected == nil && err != nil {
			return
		}
		want(t, err, expected)
	}()
	call()
	t.Error("no panic")
}

func TestPanics(t *testing.T) {
	var s Store
	expectPanic(t, nil, func() { s.Get("k") })
	s.Init()
	expectPanic(t, ErrBadArg, func() { s.Set("", "") })
	expectPanic(t, ErrBadArg, func() { s.Publish(strings.Repeat("k", KeyMax+1), "") })
	expectPanic(t, ErrBadArg, func() { s.Subscribe("", nil) })
	expectPanic(t, ErrTooLong, func() { s.Set("k", strings.Repeat("x", 1<<20)) })
	s.Close()
	s.Close()
	expectPanic(t, nil, func() { s.Set("k", "") })
	expectPanic(t, ErrBadArg, func() { new(MetaStore).Init(0) })
	expectPanic(t, ErrBadArg, func() { new(MetaStore).Init(1<<16 + 1) })
}
