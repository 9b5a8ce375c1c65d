// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// newMappedStore returns an empty private store whose values are mapped.
func newMappedStore(t *testing.T, limits Limits) (*Conn, context.Context) {
	t.Helper()
	limits.Mapped = true
	c, ctx := newStore(t, limits)
	if !canMap {
		want(t, c.Map(ctx), syscall.EOPNOTSUPP)
		t.Skip("a 32-bit program")
	}
	check(t, c.Map(ctx))
	return c, ctx
}

// mapped checks what the memory alone says of a key.
func mapped(t *testing.T, c *Conn, key string, expected answer) string {
	t.Helper()
	value, _, how := c.mapping.Load().get(key)
	if how != expected {
		t.Fatalf("answer %d for %.20q, not %d", how, key, expected)
	}
	return string(value)
}

func TestMap(t *testing.T) {
	c, ctx := newMappedStore(t, Limits{})
	check(t, c.Map(ctx))

	// Each length of a key, and values up to those that are not mapped
	text := strings.Repeat("0123456789", 60)
	for n := 1; n <= KeyMax; n++ {
		key := text[:n]
		mapped(t, c, key, mapMiss)
		_, err := c.Get(ctx, key)
		want(t, err, ErrNotFound)
		set(t, c, key, text[n:2*n])
		if n < 120 {
			same(t, "the mapped value", mapped(t, c, key, mapFound), text[n:2*n])
		}
		same(t, "the value", get(t, c, key), text[n:2*n])
	}
	for n := 0; n < 600; n++ {
		set(t, c, "k", text[:n])
		same(t, "the value", get(t, c, "k"), text[:n])
	}
	mapped(t, c, "k", mapAsk)
	set(t, c, "k", "")
	same(t, "an empty value", mapped(t, c, "k", mapFound), "")
	value, err := c.Get(ctx, "k")
	if check(t, err); value == nil {
		t.Fatal("an empty value is nil")
	}
	_, err = c.Delete(ctx, "k")
	check(t, err)
	mapped(t, c, "k", mapMiss)

	// What is in no map, the kernel tells
	set(t, c, "owned", "by c", Owned())
	same(t, "an owned value", get(t, c, "owned"), "by c")
	set(t, c, "timed", "an hour", TTL(time.Hour))
	same(t, "a value with a time to live", get(t, c, "timed"), "an hour")
	for _, key := range []string{"", text[:KeyMax+1]} {
		_, err = c.Get(ctx, key)
		want(t, err, ErrBadArg)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.Get(canceled, "owned")
	want(t, err, context.Canceled)
	want(t, c.Map(canceled), context.Canceled)
}

// TestMapMany has chains, and slots that are split.
func TestMapMany(t *testing.T) {
	const keys = 20000
	c, ctx := newMappedStore(t, Limits{Buckets: 3})
	name := func(i int) string {
		return strings.Repeat("k", i%7) + string(binary.AppendUvarint(nil, uint64(i))) + "."
	}

	for from := 0; from < keys; from += 100 {
		var batch Batch
		for i := from; i < from+100; i++ {
			batch.Set(name(i), []byte(name(i*3)))
		}
		_, err := c.Run(ctx, &batch)
		check(t, err)
	}
	asked := 0
	for i := 0; i < keys; i++ {
		value, _, how := c.mapping.Load().get(name(i))
		switch how {
		case mapFound:
			same(t, "the mapped value", string(value), name(i*3))
		case mapAsk: // the kernel had no memory for it
			asked++
			same(t, "the value", get(t, c, name(i)), name(i*3))
		default:
			t.Fatalf("answer %d for %q", how, name(i))
		}
		_, _, how = c.mapping.Load().get(name(i) + "!")
		switch how {
		case mapMiss:
		case mapAsk:
			asked++
		default:
			t.Fatalf("answer %d for %q", how, name(i)+"!")
		}
	}
	if asked > keys/100 {
		t.Errorf("%d of %d keys are not mapped", asked, keys)
	}
}

func TestMapRefused(t *testing.T) {
	if !canMap {
		t.Skip("a 32-bit program")
	}
	c, ctx := newStore(t, Limits{})
	want(t, c.Map(ctx), syscall.EOPNOTSUPP)
	set(t, c, "k", "v")
	same(t, "the value", get(t, c, "k"), "v")

	c, ctx = newStore(t, Limits{Mapped: true})
	writer, err := c.Reopen(WriteOnly)
	check(t, err)
	want(t, writer.Map(ctx), syscall.EACCES)
	check(t, writer.Close())
	want(t, writer.Map(ctx), os.ErrClosed)
}

// fakeFile is a file with two words of the ABI at an offset.
func fakeFile(t *testing.T, offset int64, words ...uint32) int {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	check(t, err)
	t.Cleanup(func() { f.Close() })
	bytes := make([]byte, 4*len(words))
	copy(unsafe.Slice((*uint32)(unsafe.Pointer(&bytes[0])), len(words)), words)
	_, err = f.WriteAt(bytes, offset)
	check(t, err)
	check(t, f.Truncate(offset+1<<20))
	return int(f.Fd())
}

// TestMapOther has memory of another layout than this package knows.
func TestMapOther(t *testing.T) {
	if !canMap {
		t.Skip("a 32-bit program")
	}
	const limit = 1 << 16
	for _, header := range [][]uint32{
		{mapMagic + 1, mapLayout, 0, 1, 4, 0},
		{mapMagic, mapLayout + 1, 0, 1, 4, 0},
		{mapMagic, mapLayout, 0, 0, 4, 0},
		{mapMagic, mapLayout, 0, limit, 4, 0},
		{mapMagic, mapLayout, 0, 1, 4, 0},
	} {
		words := append(header, 0, 0, 0, 0)
		*(*uint64)(unsafe.Pointer(&words[8])) = limit
		m, errno := mapStore(fakeFile(t, mapStoreOffset, words...))
		if header[0] == mapMagic && header[1] == mapLayout && header[3] == 1 {
			same(t, "the error", errno, 0)
			m.unmap()
		} else {
			same(t, "the error", errno, syscall.EOPNOTSUPP)
		}
	}
	page := syscall.Getpagesize()
	for flags, expected := range []syscall.Errno{0, 0, syscall.EOPNOTSUPP} {
		r, errno := mapRing(fakeFile(t, int64(mapRingOffset+page), 0, 0, 0, 0, 4096, 0, uint32(flags)), page)
		same(t, "the error", errno, expected)
		if errno == 0 {
			r.unmap()
		}
	}
}

// TestNoPoller has no room in epoll, by which a subscriber waits.
func TestNoPoller(t *testing.T) {
	const limit = "/proc/sys/fs/epoll/max_user_watches"
	c, ctx := newStore(t, Limits{})
	before, err := os.ReadFile(limit)
	check(t, err)
	check(t, os.WriteFile(limit, []byte("0"), 0))
	defer os.WriteFile(limit, before, 0)
	_, err = c.NewSubscriber(ctx)
	want(t, err, syscall.ENOMEM)
	check(t, os.WriteFile(limit, before, 0))
	s, err := c.NewSubscriber(ctx)
	check(t, err)
	check(t, s.Close())
}

// TestMapStress reads values that change in place, move, and come and go.
func TestMapStress(t *testing.T) {
	c, ctx := newMappedStore(t, Limits{Buckets: 1})
	const keys = 8
	var stop atomic.Bool
	var group sync.WaitGroup
	var found int64
	defer stop.Store(true)

	// Some keep their length, so that only the version tells that they change.
	content := func(key byte, n uint32) []byte {
		value := make([]byte, 300)
		if key%2 == 0 {
			value = make([]byte, 8+int(n*37%400))
		}
		binary.LittleEndian.PutUint32(value, n)
		for i := 8; i < len(value); i++ {
			value[i] = byte(n) ^ key
		}
		return value
	}
	for k := byte(0); k < keys; k++ {
		set(t, c, "key"+string(rune('a'+k)), string(content(k, 0)))
	}
	group.Add(1)
	go func() {
		defer group.Done()
		for n := uint32(1); !stop.Load(); n++ {
			for k := byte(0); k < keys; k++ {
				if _, err := c.Set(ctx, "key"+string(rune('a'+k)), content(k, n)); err != nil {
					t.Error(err)
					return
				}
				other := "other" + string(rune('a'+k))
				if n%2 == 0 {
					c.Set(ctx, other, content(k, n))
				} else {
					c.Delete(ctx, other)
				}
			}
		}
	}()
	for reader := 0; reader < 2; reader++ {
		group.Add(1)
		go func() {
			defer group.Done()
			m := c.mapping.Load()
			var versions [keys]uint64
			for i := 0; !stop.Load(); i++ {
				k := byte(i % keys)
				value, version, how := m.get("key" + string(rune('a'+k)))
				if how == mapMiss {
					t.Error("a key is missing that is there")
					return
				}
				if how != mapFound {
					continue
				}
				atomic.AddInt64(&found, 1)
				expected := content(k, binary.LittleEndian.Uint32(value))
				if version < versions[k] || string(value) != string(expected) {
					t.Errorf("version %d after %d, value %q", version, versions[k], value)
					return
				}
				versions[k] = version
			}
		}()
	}
	time.Sleep(2 * time.Second)
	settles(t, "values are found", func() bool { return atomic.LoadInt64(&found) > 1000 })
	stop.Store(true)
	group.Wait()
}

// TestMapTorn changes a value as the kernel does while it is read.
func TestMapTorn(t *testing.T) {
	const key, start, words = "key", 4, 32
	const meta = uint64(len(key))<<32 | words*8<<48
	memory := make([]uint64, mapLargest/8)
	entry := (*abiMapEntry)(unsafe.Pointer(&memory[0]))
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&memory[3])), len(key)), key)
	entry.meta = meta
	const turns = 50 // from a value that is found to one that changes
	var stop atomic.Bool

	go func() {
		for version := uint64(1); !stop.Load(); version++ {
			atomic.StoreUint64(&entry.version, version|1<<63)
			for i := start; i < start+words; i++ {
				atomic.StoreUint64(&memory[i], version)
			}
			atomic.StoreUint64(&entry.version, version)
			// Time for some readers to be done
			for i := 0; i < 10*words && !stop.Load(); i++ {
			}
		}
	}()
	defer stop.Store(true)
	end := time.Now().Add(patience())
	last := mapAgain
	for n := 0; n < turns; {
		value, version, how := entry.take(meta, key)
		if how == mapAgain && last == mapFound {
			n++
		}
		last = how
		if time.Now().After(end) {
			t.Fatalf("only %d turns: the test tests nothing", n)
		}
		if how == mapAgain {
			continue
		}
		same(t, "the answer", how, mapFound)
		for _, word := range unsafe.Slice((*uint64)(unsafe.Pointer(&value[0])), words) {
			same(t, "a word of the version", word, version)
		}
	}
}

// TestMapEmptied ends a lookup in the empty memory that Close leaves.
func TestMapEmptied(t *testing.T) {
	m := &mapping{header: new(abiMapHeader)}
	w := walk{m: m, slot: new(abiMapSlot)}
	_, _, how := w.next(1, "k")
	same(t, "the answer", how, mapAsk)
	m.header.size = mapLargest
	_, _, how = w.next(1, "k")
	same(t, "the answer of memory that is there", how, mapMiss)
}

// TestMapClose closes stores that are read, which then are gone.
func TestMapClose(t *testing.T) {
	_, ctx := newMappedStore(t, Limits{})
	anchor, err := Open("", ReadWrite)
	check(t, err)
	defer anchor.Close()
	before, err := anchor.User(ctx)
	check(t, err)
	const keys = 1000 // many in slots that a split made, whose count is 0 like empty memory's
	name := func(i int) string { return "key" + strconv.Itoa(i%keys) }
	for i := 0; i < 20; i++ {
		c, err := anchor.Private(ctx, Limits{Mapped: true, Buckets: 1})
		check(t, err)
		check(t, c.Map(ctx))
		for n := 0; n < keys; n++ {
			set(t, c, name(n), "v")
		}
		var group sync.WaitGroup
		for reader := 0; reader < 3; reader++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for n := 0; ; n++ {
					value, err := c.Get(ctx, name(n))
					if err == nil && string(value) == "v" {
						continue
					}
					if !errors.Is(err, syscall.EBADF) {
						t.Error("after Close:", err, value)
					}
					return
				}
			}()
		}
		time.Sleep(time.Millisecond)
		check(t, c.Close())
		group.Wait()
	}
	settles(t, "the stores are gone", func() bool {
		now, err := anchor.User(ctx)
		check(t, err)
		return now.Stores.Use <= before.Stores.Use
	})
}

// newMappedSubscriber returns a subscriber to a key with a mapped ring.
func newMappedSubscriber(t *testing.T, c *Conn, ctx context.Context, key string, size int,
	options ...QueueOption) *Subscriber {
	t.Helper()
	s := subscribe(t, c, key)
	_, err := s.Queue(ctx, options...)
	check(t, err)
	if !canMap {
		want(t, s.MapEvents(ctx, size), syscall.EOPNOTSUPP)
		t.Skip("a 32-bit program")
	}
	check(t, s.MapEvents(ctx, size))
	return s
}

func TestMapEvents(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := newMappedSubscriber(t, c, ctx, "k", 1)

	// Without a system call
	publish(t, c, "k", "one")
	buffer := make([]byte, 4096)
	n := s.ring.Load().read(^uintptr(0), buffer)
	event, size, err := decode(buffer[:n])
	check(t, err)
	same(t, "its length", size, n)
	same(t, "the value", string(event.Value), "one")

	// Again in order, also those that the ring has not
	large := strings.Repeat("v", 3000)
	for _, value := range []string{"two", large, "three", ""} {
		publish(t, c, "k", value)
	}
	for _, value := range []string{"two", large, "three", ""} {
		next(t, s, ctx, EventPublished, "k", value)
	}
	_, ok, err := s.TryNext()
	if check(t, err); ok {
		t.Fatal("there is another event")
	}
	counters, err := s.Subscription(ctx, "k")
	check(t, err)
	same(t, "the counters", counters, Counters{Matched: 5, Delivered: 5})

	want(t, s.MapEvents(ctx, 1), ErrBusy)
	_, err = s.Queue(ctx, QueueLen(10))
	want(t, err, ErrBusy)
	other, err := c.NewSubscriber(ctx)
	check(t, err)
	want(t, other.MapEvents(ctx, ringMax+1), ErrBadArg)
	want(t, other.MapEvents(ctx, -1), ErrBadArg)
	check(t, other.Close())
	want(t, other.MapEvents(ctx, 0), os.ErrClosed)

	reader, err := c.Reopen(ReadOnly)
	check(t, err)
	defer reader.Close()
	other, err = reader.NewSubscriber(ctx)
	check(t, err)
	defer other.Close()
	want(t, other.MapEvents(ctx, 0), syscall.EACCES)
}

// TestMapEventsWait has events that come while Next waits.
func TestMapEventsWait(t *testing.T) {
	const events = 5000
	c, ctx := newStore(t, Limits{})
	s := newMappedSubscriber(t, c, ctx, "k", 0, QueueLen(16), QueuePolicy(Lossless))
	failed := make(chan error, 1)

	// A reader is woken by each event that it waits for. Without an end to its context, the
	// publisher waits for nothing but room.
	go func() {
		for i := 0; i < events; i++ {
			value := binary.LittleEndian.AppendUint32(nil, uint32(i))
			if _, _, err := c.Publish(context.Background(), "k", value, Wait()); err != nil {
				failed <- err
				return
			}
			if i%500 == 0 {
				time.Sleep(2 * time.Millisecond)
			}
		}
		failed <- nil
	}()
	for i := 0; i < events; i++ {
		event, err := s.Next(ctx)
		check(t, err)
		same(t, "the event", binary.LittleEndian.Uint32(event.Value), uint32(i))
	}
	check(t, <-failed)
}

// TestMapEventsRoom has a publisher that waits when the ring is read for the last time.
func TestMapEventsRoom(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := newMappedSubscriber(t, c, ctx, "k", 0, QueueLen(2), QueuePolicy(Lossless))
	publish(t, c, "k", "one")
	publish(t, c, "k", "two")
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Publish(context.Background(), "k", []byte("three"), Wait())
		done <- err
	}()
	settles(t, "a publisher waits", func() bool {
		return atomic.LoadUint32(&s.ring.Load().producer.attention)&ringRoom != 0
	})
	_, ok, err := s.TryNext()
	if check(t, err); !ok {
		t.Fatal("there is no event")
	}
	select {
	case err := <-done:
		check(t, err)
	case <-ctx.Done():
		t.Fatal("the publisher was not woken")
	}
}

// TestRingShares takes records from a ring as the kernel does, while they are read. One side gets
// each.
func TestRingShares(t *testing.T) {
	const record, records = 64, 10000 // for each side at least
	r := &ring{
		producer: new(abiRingProducer),
		consumer: new(abiRingConsumer),
		records:  make([]byte, 2*4096),
		size:     4096,
	}
	for i := 0; i < len(r.records); i += record {
		at[abiEvent](r.records[i:]).len = record
	}
	var stop atomic.Bool
	var taken, read uint64
	done := make(chan bool)
	go func() {
		defer close(done)
		for !stop.Load() {
			tail := atomic.LoadUint64(&r.consumer.tail)
			// Room for what is taken between the reader's loads of tail and head
			atomic.StoreUint64(&r.producer.head, tail+r.size/2)
			if atomic.CompareAndSwapUint64(&r.consumer.tail, tail, tail+record) {
				atomic.AddUint64(&taken, 1)
			}
		}
	}()
	buffer := make([]byte, 4*record)
	for end := time.Now().Add(patience()); time.Now().Before(end); {
		read += uint64(r.read(0, buffer)) / record
		if read >= records && atomic.LoadUint64(&taken) >= records {
			break
		}
	}
	stop.Store(true)
	<-done
	same(t, "what both got", read+taken, r.consumer.tail/record)
	if read < records || taken < records {
		t.Errorf("read %d, taken %d: the test tests nothing", read, taken)
	}
}

// TestMapEventsLost has more events than the queue.
func TestMapEventsLost(t *testing.T) {
	const events = 20000
	c, ctx := newStore(t, Limits{})
	s := newMappedSubscriber(t, c, ctx, "k", 1, QueueLen(32))
	done := make(chan bool)
	send := func(i int) { publish(t, c, "k", string(binary.LittleEndian.AppendUint32(nil, uint32(i)))) }

	for i := 1; i <= 100; i++ {
		send(i)
	}
	go func() {
		defer close(done)
		for i := 101; i <= events; i++ {
			send(i)
		}
	}()
	// Losses are told ahead of what follows them.
	count := uint32(0)
	for count < events {
		event, err := s.Next(ctx)
		check(t, err)
		if event.Type == EventLost {
			count += uint32(event.Count)
			continue
		}
		count++
		same(t, "the event", binary.LittleEndian.Uint32(event.Value), count)
	}
	same(t, "events that came or were lost", count, events)
	<-done
	counters, err := s.Subscription(ctx, "k")
	check(t, err)
	same(t, "the counters", counters, Counters{Matched: events, Lost: counters.Lost,
		Delivered: events - counters.Lost})
	if counters.Lost < 68 {
		t.Errorf("%d were lost, of the first 100 alone 68", counters.Lost)
	}
}

// TestMapEventsClose closes a subscriber while another goroutine reads.
func TestMapEventsClose(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	for i := 0; i < 50; i++ {
		s := newMappedSubscriber(t, c, ctx, "k", 0)
		ended := make(chan error)
		go func() {
			for {
				if _, err := s.Next(ctx); err != nil {
					ended <- err
					return
				}
			}
		}()
		for n := 0; n < i; n++ {
			publish(t, c, "k", "v")
		}
		check(t, s.Close())
		want(t, <-ended, os.ErrClosed)
		want(t, s.Close(), os.ErrClosed)
	}
	settles(t, "the subscriptions are gone", func() bool {
		n, err := c.Subscribers(ctx, "k")
		check(t, err)
		return n == 0
	})
}
