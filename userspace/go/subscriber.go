// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The size of a read at first. It grows to the size of the longest event.
const readSize = 16 << 10

// Subscriber is an open file with a queue of events of the keys that it subscribed to.
// Events wait in the kernel. The queue is bounded: what does not fit is counted and told by
// [EventLost].
type Subscriber struct {
	file
	buffer   []byte
	rest     []byte // records that were read and not told
	deadline bool   // the descriptor has a deadline of an earlier wait
	ring     atomic.Pointer[ring]
}

// NewSubscriber opens the store again for reading events. It subscribes to nothing yet. Its
// descriptor is open to write too if c is, since [Subscriber.MapEvents] needs that.
// The error is syscall.ENOMEM if epoll has no room for it, see fs.epoll.max_user_watches.
func (c *Conn) NewSubscriber(ctx context.Context) (*Subscriber, error) {
	mode := ReadOnly
	if c.mode == ReadWrite {
		mode = ReadWrite
	}
	return c.newSubscriber(ctx, mode)
}

func (c *Conn) newSubscriber(ctx context.Context, mode Mode) (*Subscriber, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := c.reopenFD(int(mode) | syscall.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	// A non-blocking descriptor waits in Go's poller.
	f, err := newFile(fd, c.f.Name())
	if err != nil {
		return nil, err
	}
	// The poller has not taken it if epoll has no room. Then there is no deadline either.
	if err := f.f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return nil, fail("subscribe", "", syscall.ENOMEM)
	}
	return &Subscriber{file: f}, nil
}

// Subscribe makes a [Subscriber] with one subscription.
func (c *Conn) Subscribe(ctx context.Context, key string, options ...SubscribeOption) (*Subscriber, error) {
	s, err := c.NewSubscriber(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Subscribe(ctx, key, options...); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// SubscribeOption is an option of a subscription.
type SubscribeOption func(*subscription)

type subscription struct {
	events  EventType
	cookie  uint64
	flags   uint32
	version uint64
}

func subscriptionOf(options []SubscribeOption) subscription {
	var s subscription

	for _, option := range options {
		option(&s)
	}
	return s
}

// Events asks for these kinds of events. Without it there is [EventPublished] alone.
func Events(mask EventType) SubscribeOption { return func(s *subscription) { s.events = mask } }

// Cookie is a number that each event of the subscription carries.
func Cookie(cookie uint64) SubscribeOption { return func(s *subscription) { s.cookie = cookie } }

// Prefix subscribes to all keys that begin with the key, which may be empty. It tells
// Unsubscribe and Resync too that such a subscription is meant.
func Prefix() SubscribeOption { return func(s *subscription) { s.flags |= subscribePrefix } }

// Snapshot lets the present values come first, as [EventSnapshot], then [EventSnapshotEnd].
func Snapshot() SubscribeOption { return func(s *subscription) { s.flags |= subscribeSnapshot } }

// Newer is a [Snapshot] that has the value of the key only above this version.
func Newer(version uint64) SubscribeOption {
	return func(s *subscription) {
		s.flags |= subscribeSnapshot | subscribeNewer
		s.version = version
	}
}

// Latest conflates: of each key at most the newest event waits. Of a key that is no prefix
// the newest event is never lost.
func Latest() SubscribeOption { return func(s *subscription) { s.flags |= subscribeLatest } }

// NoValue leaves the values out of events.
func NoValue() SubscribeOption { return func(s *subscription) { s.flags |= subscribeNoValue } }

// Discard lets [Subscriber.Unsubscribe] drop the events that wait.
func Discard() SubscribeOption { return func(s *subscription) { s.flags |= subscribeDiscard } }

func (s *Subscriber) subscribe(ctx context.Context, op, key string, how subscription) error {
	return s.call(ctx, op, key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiSubscribe](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		arg.events, arg.cookie = uint32(how.events), how.cookie
		arg.flags, arg.version = how.flags, how.version
		_, errno := s.command(iocSubscribe, unsafe.Pointer(arg))
		return errno
	})
}

// Subscribe subscribes to a key, or with [Prefix] to all keys that begin with it. A
// subscription that exists is [ErrExists].
func (s *Subscriber) Subscribe(ctx context.Context, key string, options ...SubscribeOption) error {
	return s.subscribe(ctx, "subscribe", key, subscriptionOf(options))
}

// Resync begins a subscription anew that lost events: what waits is discarded and a
// snapshot begins. Its only option is [Prefix].
func (s *Subscriber) Resync(ctx context.Context, key string, options ...SubscribeOption) error {
	how := subscriptionOf(options)
	how.flags |= subscribeResync
	return s.subscribe(ctx, "resync", key, how)
}

// Unsubscribe ends a subscription. Events that wait can still be read, unless [Discard]
// is given. The other option is [Prefix].
func (s *Subscriber) Unsubscribe(ctx context.Context, key string, options ...SubscribeOption) error {
	how := subscriptionOf(options)
	return s.call(ctx, "unsubscribe", key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiUnsubscribe](a)
		arg.key, arg.keyLen, arg.flags = a.string(key), uint32(len(key)), how.flags
		_, errno := s.command(iocUnsubscribe, unsafe.Pointer(arg))
		return errno
	})
}

// Next waits for the next event and returns it. The context ends the wait, and its error
// is returned then; no event is lost by that. After Close the error is [os.ErrClosed].
//
//	for {
//		event, err := s.Next(ctx)
//		if err != nil {
//			return err
//		}
//		if event.Type == metastore.EventLost {
//			log.Printf("%d events were lost", event.Count)
//		}
//	}
func (s *Subscriber) Next(ctx context.Context) (Event, error) {
	for {
		event, ok, err := s.TryNext()
		if ok || err != nil {
			return event, err
		}
		if err := s.wait(ctx); err != nil {
			return Event{}, err
		}
	}
}

// TryNext returns the next event if one waits.
func (s *Subscriber) TryNext() (event Event, ok bool, err error) {
	if len(s.rest) == 0 {
		if more, err := s.fill(); !more {
			return Event{}, false, err
		}
	}
	event, n, err := decode(s.rest)
	if err != nil {
		return Event{}, false, err
	}
	s.rest = s.rest[n:]
	return event, true, nil
}

// fill reads what waits, if anything does, whatever deadline the descriptor has.
func (s *Subscriber) fill() (bool, error) {
	errno := syscall.EBADF
	if s.raw.Control(func(fd uintptr) { errno = s.read(fd) }) != nil {
		return false, os.ErrClosed
	}
	if errno == syscall.EAGAIN {
		return false, nil
	}
	return errno == 0, fail("read", "", errno)
}

// read reads what waits, without a wait.
func (s *Subscriber) read(fd uintptr) syscall.Errno {
	if s.buffer == nil {
		s.buffer = make([]byte, readSize)
	}
	if r := s.ring.Load(); r != nil {
		if n := r.read(fd, s.buffer); n > 0 {
			s.rest = s.buffer[:n]
			return 0
		}
	}
	for {
		n, err := syscall.Read(int(fd), s.buffer)
		switch err {
		case nil:
			s.rest = s.buffer[:n]
			return 0
		case syscall.EINTR:
		case syscall.EMSGSIZE:
			if errno := s.grow(fd); errno != 0 {
				return errno
			}
		default:
			return err.(syscall.Errno)
		}
	}
}

// grow makes room for the next event. Another reader may have taken it meanwhile.
func (s *Subscriber) grow(fd uintptr) syscall.Errno {
	a, err := newArena(0)
	if err != nil {
		return syscall.ENOMEM
	}
	defer a.free()
	size := structure[int32](a)
	if _, errno := ioctl(fd, fionread, unsafe.Pointer(size)); errno != 0 {
		return errno
	}
	if int(*size) > len(s.buffer) {
		s.buffer = make([]byte, (*size+7)&^7)
	}
	return 0
}

// wait waits in Go's poller until there is something to read, and reads it.
func (s *Subscriber) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Without a deadline there is no call, and so one of interrupt stays.
	end, ok := ctx.Deadline()
	if ok || s.deadline {
		s.deadline = ok
		// That it has one was seen in newSubscriber.
		if s.f.SetReadDeadline(end) != nil {
			return os.ErrClosed
		}
	}
	if ctx.Done() != nil {
		defer s.interruptAt(ctx)()
	}
	errno := syscall.Errno(0)
	err := s.raw.Read(func(fd uintptr) bool {
		errno = s.read(fd)
		return errno != syscall.EAGAIN
	})
	switch {
	case err == nil:
		return fail("read", "", errno)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case ok: // a moment before its context
		return context.DeadlineExceeded
	default:
		return err
	}
}

// interruptAt ends the wait when the context does. It returns a function that stops that.
func (s *Subscriber) interruptAt(ctx context.Context) func() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			s.interrupt()
		case <-stop:
		}
	}()
	return func() {
		close(stop)
		<-stopped
		s.deadline = s.deadline || ctx.Err() != nil
	}
}

// interrupt ends this wait, and the next one whose context has no deadline.
func (s *Subscriber) interrupt() { s.f.SetReadDeadline(time.Unix(1, 0)) }
