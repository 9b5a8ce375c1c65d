// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func subscribe(t *testing.T, c *Conn, key string, options ...SubscribeOption) *Subscriber {
	t.Helper()
	s, err := c.Subscribe(context.Background(), key, options...)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func publish(t *testing.T, c *Conn, key, value string) {
	t.Helper()
	_, _, err := c.Publish(context.Background(), key, []byte(value))
	check(t, err)
}

func TestEvents(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "net/", Prefix(), Events(EventChanges), Cookie(7))
	version := set(t, c, "net/a", "1")
	e := next(t, s, ctx, EventSet, "net/a", "1")
	same(t, "version", e.Version, version)
	same(t, "cookie", e.Cookie, 7)
	same(t, "process", e.PID, os.Getpid())
	if e.Time.IsZero() || e.End != nil {
		t.Fatalf("%+v", e)
	}
	_, queues, err := c.Publish(ctx, "net/a", []byte("2"))
	check(t, err)
	same(t, "queues", queues, 1)
	next(t, s, ctx, EventPublished, "net/a", "2")
	_, err = c.Delete(ctx, "net/a")
	check(t, err)
	next(t, s, ctx, EventDeleted, "net/a", "2")

	check(t, s.Unsubscribe(ctx, "net/", Prefix()))
	want(t, s.Unsubscribe(ctx, "net/", Prefix()), ErrNotFound)
	check(t, s.Subscribe(ctx, "k"))
	want(t, s.Subscribe(ctx, "k"), ErrExists)
	n, err := c.Subscribers(ctx, "k")
	check(t, err)
	same(t, "subscribers", n, 1)
}

func TestEndOfAnOwner(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k", Events(EventByOwner))
	held, err := c.Hold(ctx, "k", []byte("up"))
	check(t, err)
	check(t, held.Close())
	e := next(t, s, ctx, EventDeleted, "k", "up")
	if e.Flags&EventOwnerGone == 0 || e.End == nil || e.End.PID != os.Getpid() || e.End.How != EndClosed {
		t.Fatalf("%+v, %+v", e, e.End)
	}
}

func TestSnapshot(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	version := set(t, c, "k", "1")
	s := subscribe(t, c, "k", Snapshot(), Events(EventChanges))
	next(t, s, ctx, EventSnapshot, "k", "1")
	next(t, s, ctx, EventSnapshotEnd, "", "")
	check(t, s.Subscribe(ctx, "", Prefix(), Snapshot(), NoValue()))
	e := next(t, s, ctx, EventSnapshot, "k", "")
	if e.Flags&EventNoValue == 0 {
		t.Fatalf("%+v", e)
	}
	next(t, s, ctx, EventSnapshotEnd, "", "")
	newer := subscribe(t, c, "k", Newer(version))
	next(t, newer, ctx, EventSnapshotEnd, "", "")
}

func TestLossIsToldAndResync(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k", Events(EventChanges))
	_, err := s.Queue(ctx, QueueLen(2))
	check(t, err)
	for _, value := range []string{"1", "2", "3", "4", "5"} {
		publish(t, c, "k", value)
	}
	e := next(t, s, ctx, EventLost, "", "")
	same(t, "lost", e.Count, 3)
	next(t, s, ctx, EventPublished, "k", "4")
	counters, err := s.Subscription(ctx, "k")
	check(t, err)
	same(t, "counters", counters, Counters{Matched: 5, Delivered: 2, Lost: 3})
	next(t, s, ctx, EventPublished, "k", "5")
	publish(t, c, "k", "6")
	check(t, s.Resync(ctx, "k"))
	next(t, s, ctx, EventSnapshot, "k", "6")
	next(t, s, ctx, EventSnapshotEnd, "", "")
	info, err := s.Queue(ctx)
	check(t, err)
	same(t, "discarded", info.Discarded, 1)
	same(t, "capacity", info.MaxLen, 2)
	same(t, "subscriptions", info.Subscriptions, 1)
}

func TestLatest(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k", Latest())
	publish(t, c, "k", "1")
	publish(t, c, "k", "2")
	next(t, s, ctx, EventPublished, "k", "2")
}

func TestLongEvent(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k")
	long := strings.Repeat("x", 3*readSize)
	publish(t, c, "k", "short")
	publish(t, c, "k", long)
	next(t, s, ctx, EventPublished, "k", "short")
	next(t, s, ctx, EventPublished, "k", long)
}

func TestFlushedSubscription(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k")
	flushed, err := c.Flush(ctx, "", FlushSubscriptions())
	check(t, err)
	same(t, "flushed", flushed, Flushed{Subscriptions: 1})
	e := next(t, s, ctx, EventFlushed, "", "")
	same(t, "count", e.Count, 1)
}

// A reader waits, and then its context ends. The next wait is as ever.
func TestContextEndsARead(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k")
	for i := 0; i < 3; i++ {
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		_, err := s.Next(short)
		want(t, err, context.DeadlineExceeded)
		cancel()
		canceled, cancel := context.WithCancel(context.Background())
		time.AfterFunc(5*time.Millisecond, cancel)
		_, err = s.Next(canceled)
		want(t, err, context.Canceled)
		time.AfterFunc(5*time.Millisecond, func() { c.Publish(ctx, "k", []byte("1")) })
		event, err := s.Next(context.Background())
		check(t, err)
		same(t, "value", string(event.Value), "1")
		publish(t, c, "k", "2")
		next(t, s, ctx, EventPublished, "k", "2")
	}
}

func TestCloseEndsARead(t *testing.T) {
	c, _ := newStore(t, Limits{})
	s := subscribe(t, c, "k")
	time.AfterFunc(5*time.Millisecond, func() { s.Close() })
	_, err := s.Next(context.Background())
	want(t, err, os.ErrClosed)
	_, err = s.Next(context.Background())
	want(t, err, os.ErrClosed)
}

// Readers that wait hold no thread.
func TestReadersWaitInThePoller(t *testing.T) {
	const readers = 100

	c, ctx := newStore(t, Limits{QueueLen: 4, QueueBytes: 80000})
	goroutines := runtime.NumGoroutine()
	got := make(chan error, readers)
	for i := 0; i < readers; i++ {
		s := subscribe(t, c, "k")
		go func() {
			_, err := s.Next(context.Background())
			got <- err
		}()
	}
	time.Sleep(20 * time.Millisecond)
	if now := runtime.NumGoroutine(); now < readers || now > goroutines+readers {
		t.Fatalf("%d goroutines, %d before", now, goroutines)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	check(t, err)
	if len(tasks) >= readers {
		t.Fatalf("%d threads", len(tasks))
	}
	_, queues, err := c.Publish(ctx, "k", nil)
	check(t, err)
	same(t, "queues", queues, readers)
	for i := 0; i < readers; i++ {
		check(t, <-got)
	}
}

func TestPublisherWaitsForRoom(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	s := subscribe(t, c, "k")
	_, err := s.Queue(ctx, QueueLen(1), QueuePolicy(Lossless))
	check(t, err)
	publish(t, c, "k", "1")

	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	_, _, err = c.Publish(short, "k", []byte("no"), Wait())
	want(t, err, context.DeadlineExceeded)
	canceled, cancel := context.WithCancel(context.Background())
	time.AfterFunc(5*time.Millisecond, cancel)
	_, _, err = c.Publish(canceled, "k", []byte("no"), Wait())
	want(t, err, context.Canceled)
	same(t, "value", get(t, c, "k"), "1")

	for _, wait := range []context.Context{ctx, context.Background()} {
		done := make(chan error)
		go func() {
			_, _, err := c.Publish(wait, "k", []byte("2"), Wait())
			done <- err
		}()
		settles(t, "it waits", func() bool {
			user, err := c.User(ctx)
			return err == nil && user.Waiting.Use == 1
		})
		_, err := s.Next(ctx)
		check(t, err)
		check(t, <-done)
	}
	next(t, s, ctx, EventPublished, "k", "2")
}

// A child process inherits a store, and what that owns.
func TestChildInheritsAStore(t *testing.T) {
	if key := os.Getenv("METASTORE_TEST_CHILD"); key != "" {
		c, err := Open("", ReadWrite)
		check(t, err)
		set(t, c, key, "from the child")
		return
	}
	c, _ := newStore(t, Limits{})
	child := exec.Command(os.Args[0], "-test.run=^TestChildInheritsAStore$")
	child.Env = append(os.Environ(), "METASTORE_TEST_CHILD=k", "METASTORE_STORE=fd:3")
	child.ExtraFiles = []*os.File{c.File()}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, "value", get(t, c, "k"), "from the child")
	// It still waits in the kernel rather than fails.
	raw, err := c.SyscallConn()
	check(t, err)
	raw.Control(func(fd uintptr) {
		flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		same(t, "O_NONBLOCK", flags&syscall.O_NONBLOCK, 0)
	})
}
