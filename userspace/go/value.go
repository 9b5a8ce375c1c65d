// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"syscall"
	"time"
	"unsafe"
)

// Owner says which open file owns a value.
type Owner int

// Owners of a value.
const (
	OwnerNone  Owner = iota // no open file
	OwnerSelf               // the one that asks
	OwnerOther              // another one
)

// Value is a value and what the kernel knows of it. A previous value has Data, Version and
// Owner alone.
type Value struct {
	Data    []byte
	Version uint64        // increases with each change of the key; 0: no value
	Owner   Owner         // as the open file sees it that asks
	TTL     time.Duration // rest of its life; 0: without limit
	Time    time.Time     // when it was written
	PID     int           // process that wrote it; 0: not of this PID namespace
	UID     uint32        // user of that process
}

// Stat is what the kernel knows of a key with a value.
type Stat struct {
	Size        int // length of the value in bytes
	Version     uint64
	Owner       Owner
	TTL         time.Duration
	Time        time.Time
	PID         int
	UID         uint32
	Bucket      int
	Subscribers int
}

// Get returns the value of a key. An absent key is [ErrNotFound]. After [Conn.Map] most calls
// need no system call.
func (c *Conn) Get(ctx context.Context, key string) ([]byte, error) {
	if m := c.mapping.Load(); m != nil && ctx.Err() == nil {
		switch value, _, how := m.get(key); how {
		case mapFound:
			return value, nil
		case mapMiss:
			return nil, fail("get", key, ErrNotFound)
		}
	}
	value, err := c.get(ctx, key, 0)
	return value.Data, err
}

// GetInfo returns the value of a key, its version, its owner and its writer, all of one
// moment.
func (c *Conn) GetInfo(ctx context.Context, key string) (Value, error) {
	return c.get(ctx, key, getInfo)
}

func (c *Conn) get(ctx context.Context, key string, flags uint32) (Value, error) {
	var value Value

	err := c.call(ctx, "get", key, c.maxValue, func(a *arena) syscall.Errno {
		arg := structure[abiGet](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		arg.flags = flags
		room := a.room(c.maxValue)
		arg.value, arg.valueLen = address(room), uint32(len(room))
		_, errno := c.command(iocGet, unsafe.Pointer(arg))
		if errno != 0 {
			return errno
		}
		value = Value{
			Data:    clone(room[:arg.valueLen]),
			Version: arg.version,
			Owner:   Owner(arg.owner),
			TTL:     life(arg.ttl),
			Time:    moment(arg.time),
			PID:     int(arg.tgid),
			UID:     arg.uid,
		}
		return 0
	})
	return value, err
}

// clone copies bytes out of an arena. An empty value is not nil.
func clone(b []byte) []byte {
	return append(make([]byte, 0, len(b)), b...)
}

// Stat tells about a key without copying its value.
func (c *Conn) Stat(ctx context.Context, key string) (Stat, error) {
	var stat Stat

	err := c.call(ctx, "stat", key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiStat](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		_, errno := c.command(iocStat, unsafe.Pointer(arg))
		if errno != 0 {
			return errno
		}
		stat = Stat{
			Size:        int(arg.valueLen),
			Version:     arg.version,
			Owner:       Owner(arg.owner),
			TTL:         life(arg.ttl),
			Time:        moment(arg.time),
			PID:         int(arg.tgid),
			UID:         arg.uid,
			Bucket:      int(arg.bucket),
			Subscribers: int(arg.subscribers),
		}
		return 0
	})
	return stat, err
}

// previousRoom is the room that a change needs for the previous value.
func (f *file) previousRoom(change *change) int {
	if change.previous == nil {
		return 0
	}
	return f.maxValue
}

// askPrevious makes room for the previous value, and returns it.
func askPrevious(a *arena, arg *abiPrevious, size int) []byte {
	room := a.result(size)
	arg.value, arg.len = address(room), uint32(size)
	return room
}

// tellPrevious stores a previous value.
func tellPrevious(change *change, arg *abiPrevious, room []byte) {
	if change.previous == nil {
		return
	}
	*change.previous = Value{Version: arg.version, Owner: Owner(arg.owner)}
	if arg.version != 0 {
		change.previous.Data = clone(room[:arg.len])
	}
}

// Set stores a value and returns its version. Subscribers that asked for [EventSet] hear
// of it.
func (c *Conn) Set(ctx context.Context, key string, value []byte, options ...Option) (uint64, error) {
	version, _, err := c.set(ctx, "set", iocSet, key, value, options)
	return version, err
}

// Publish stores a value, as Set, and announces it to subscribers that asked for
// [EventPublished], as they do by default. It returns the version and the number of
// subscriptions whose queue took the event.
//
// With [Wait] it waits until every lossless queue has room, and then all get the event. When
// the context ends before, nothing is stored, and its error is returned.
func (c *Conn) Publish(ctx context.Context, key string, value []byte, options ...Option) (version uint64, queues int, err error) {
	return c.set(ctx, "publish", iocPublish, key, value, options)
}

// How long a publisher waits in the kernel before it looks at its context again. A thread
// that waits there cannot be woken by Go.
const waitSlice = 100 * time.Millisecond

// waitTime returns the ms that a publisher is to wait in the kernel at once.
func waitTime(ctx context.Context) uint32 {
	wait := waitSlice
	if ctx.Done() == nil {
		return waitForever
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		wait = time.Until(end)
	}
	if wait < 0 {
		wait = 0
	}
	return uint32(milliseconds(wait))
}

func (c *Conn) set(ctx context.Context, op string, command uint32, key string, value []byte,
	options []Option) (version uint64, queues int, err error) {
	change := changeOf(options)

	err = c.call(ctx, op, key, len(value)+c.previousRoom(&change), func(a *arena) syscall.Errno {
		if change.bad || uint64(len(value)) > uint64(^uint32(0)) {
			return syscall.EINVAL
		}
		// Arguments of their own: the kernel writes results into those of the call.
		asked := abiSet{
			key:      a.string(key),
			value:    a.bytes(value),
			keyLen:   uint32(len(key)),
			valueLen: uint32(len(value)),
			flags:    change.flags,
			version:  change.version,
			ttl:      change.ttl,
		}
		room := askPrevious(a, &asked.previous, c.previousRoom(&change))
		arg := structure[abiSet](a)
		for {
			*arg = asked
			if asked.flags&flagWait != 0 {
				arg.timeout = waitTime(ctx)
			}
			_, errno := c.command(command, unsafe.Pointer(arg))
			if errno == 0 {
				tellPrevious(&change, &arg.previous, room)
			}
			if errno != syscall.ETIMEDOUT && errno != syscall.EAGAIN || ctx.Err() != nil {
				version, queues = arg.version, int(arg.queues)
				return errno
			}
		}
	})
	version, err = outcome(ctx, version, err)
	return version, queues, err
}

// outcome returns the version of a change, or adds to its error what the caller needs to
// know: the version that is there in place of the one that it expected, or why its wait
// ended.
func outcome(ctx context.Context, version uint64, err error) (uint64, error) {
	if err == nil {
		return version, nil
	}
	if is(err, syscall.ETIMEDOUT, syscall.EAGAIN) && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if e, ok := err.(*Error); ok && (e.Err == syscall.ESTALE || e.Err == syscall.EEXIST) {
		e.Version = version
	}
	return 0, err
}

// Delete removes a value and returns the version of the deletion. An absent key is
// [ErrNotFound]. Its options are [IfVersion], [Steal] and [Previous].
func (c *Conn) Delete(ctx context.Context, key string, options ...Option) (uint64, error) {
	change := changeOf(options)
	var version uint64

	err := c.call(ctx, "delete", key, c.previousRoom(&change), func(a *arena) syscall.Errno {
		if change.bad || change.ttl != 0 {
			return syscall.EINVAL
		}
		arg := structure[abiDelete](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		arg.flags, arg.version = change.flags, change.version
		room := askPrevious(a, &arg.previous, c.previousRoom(&change))
		_, errno := c.command(iocDelete, unsafe.Pointer(arg))
		version = arg.version
		if errno == 0 {
			tellPrevious(&change, &arg.previous, room)
		}
		return errno
	})
	return outcome(ctx, version, err)
}

// Touch renews the life of a value without a change of it, and returns its version. A
// value without a limit is [ErrNoTTL]. Its option is [IfVersion].
func (c *Conn) Touch(ctx context.Context, key string, life time.Duration, options ...Option) (uint64, error) {
	change := changeOf(append([]Option{TTL(life)}, options...))
	var version uint64

	err := c.call(ctx, "touch", key, 0, func(a *arena) syscall.Errno {
		if change.bad {
			return syscall.EINVAL
		}
		arg := structure[abiTouch](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		arg.flags, arg.version, arg.ttl = change.flags, change.version, change.ttl
		_, errno := c.command(iocTouch, unsafe.Pointer(arg))
		version = arg.version
		return errno
	})
	return outcome(ctx, version, err)
}
