// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"time"
)

// Option is an option of a change: of Set, Publish, Delete, Touch and what is made of
// them. An option that a call has no use for is refused with [ErrBadArg].
type Option func(*change)

// change is what the options of one change ask for.
type change struct {
	flags    uint32
	version  uint64
	ttl      uint64 // ms
	previous *Value
	bad      bool
}

func changeOf(options []Option) change {
	var c change

	for _, option := range options {
		option(&c)
	}
	return c
}

// Create makes the change fail with [ErrExists] if there is a value.
func Create() Option { return func(c *change) { c.flags |= flagCreate } }

// Replace makes the change fail with [ErrNotFound] if there is no value.
func Replace() Option { return func(c *change) { c.flags |= flagReplace } }

// IfVersion makes the change fail with [ErrStale] unless the value has this version. 0
// stands for: no value.
func IfVersion(version uint64) Option {
	return func(c *change) {
		c.flags |= flagIfVersion
		c.version = version
	}
}

// Owned makes the open file the owner of the key. Others cannot change it, and the kernel
// deletes it when the open file ends.
func Owned() Option { return func(c *change) { c.flags |= flagOwned } }

// Steal makes the change even if another open file owns the value. The owner hears of it if
// it subscribed to the key.
func Steal() Option { return func(c *change) { c.flags |= flagSteal } }

// TTL limits the life of the value. It is rounded up to ms, and at most 34 years.
func TTL(life time.Duration) Option {
	return func(c *change) {
		c.ttl = milliseconds(life)
		if life <= 0 {
			c.bad = true
		}
	}
}

// KeepTTL gives the new value the end of life of the previous one, if that has one.
func KeepTTL() Option { return func(c *change) { c.flags |= flagKeepTTL } }

// Wait makes Publish wait until all lossless queues have room for the event, as long as its
// context allows.
func Wait() Option { return func(c *change) { c.flags |= flagWait } }

// Previous stores the value that the change replaced or removed. Its Version is 0 if there
// was none.
func Previous(value *Value) Option {
	return func(c *change) {
		c.flags |= flagPrevious
		c.previous = value
	}
}

// milliseconds rounds up: nothing ends before its time.
func milliseconds(d time.Duration) uint64 {
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

// life is a time to live as the kernel tells it.
func life(ms uint64) time.Duration { return time.Duration(ms) * time.Millisecond }

// moment is a real time as the kernel tells it.
func moment(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}
