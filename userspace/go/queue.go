// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"syscall"
	"time"
	"unsafe"
)

// Policy is the fate of an event for which a queue has no room.
type Policy int

// Policies of a queue.
const (
	DropOldest Policy = iota // drop the oldest events instead
	Lossless                 // a publisher with [Wait] waits for room
)

// Counters account for each event that subscriptions matched:
// Matched = Delivered + Conflated + Lost + Discarded + Pending.
type Counters struct {
	Matched   uint64 // all
	Delivered uint64 // read
	Conflated uint64 // replaced by a newer one
	Lost      uint64
	Discarded uint64 // removed by Resync or [Discard]
	Pending   uint64 // waiting
}

// QueueInfo is the state of a subscriber's queue.
type QueueInfo struct {
	Counters
	Policy        Policy
	MaxLen        int // capacity in events
	MaxBytes      int // and in bytes
	Len           int // events that wait
	Bytes         int // bytes that count against MaxBytes
	HighLen       int // most events that ever waited
	Subscriptions int
	Oldest        time.Duration // age of the oldest event that waits
}

// QueueOption is an option of a queue.
type QueueOption func(*abiQueueInfo)

// QueueLen sets the capacity in events.
func QueueLen(events int) QueueOption {
	return func(q *abiQueueInfo) {
		q.flags |= queueSetLen
		q.maxLen = uint32(events)
	}
}

// QueueBytes sets the capacity in bytes.
func QueueBytes(bytes int) QueueOption {
	return func(q *abiQueueInfo) {
		q.flags |= queueSetBytes
		q.maxBytes = uint32(bytes)
	}
}

// QueuePolicy sets the policy.
func QueuePolicy(policy Policy) QueueOption {
	return func(q *abiQueueInfo) {
		q.flags |= queueSetPolicy
		q.policy = uint32(policy)
	}
}

// Queue changes the queue by the options, if any, and tells its state.
func (s *Subscriber) Queue(ctx context.Context, options ...QueueOption) (QueueInfo, error) {
	var info QueueInfo

	err := s.call(ctx, "queue", "", 0, func(a *arena) syscall.Errno {
		arg := structure[abiQueueInfo](a)
		for _, option := range options {
			option(arg)
		}
		_, errno := s.command(iocQueue, unsafe.Pointer(arg))
		info = QueueInfo{
			Counters: Counters{arg.matched, arg.delivered, arg.conflated, arg.lost,
				arg.discarded, arg.pending},
			Policy:        Policy(arg.policy),
			MaxLen:        int(arg.maxLen),
			MaxBytes:      int(arg.maxBytes),
			Len:           int(arg.len),
			Bytes:         int(arg.bytes),
			HighLen:       int(arg.highLen),
			Subscriptions: int(arg.subscriptions),
			Oldest:        life(arg.oldest),
		}
		return errno
	})
	return info, err
}

// Subscription tells the counters of one subscription. Its only option is [Prefix].
func (s *Subscriber) Subscription(ctx context.Context, key string, options ...SubscribeOption) (Counters, error) {
	var counters Counters

	how := subscriptionOf(options)
	err := s.call(ctx, "subscription", key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiSubscriptionInfo](a)
		arg.key, arg.keyLen, arg.flags = a.string(key), uint32(len(key)), how.flags
		_, errno := s.command(iocSubscription, unsafe.Pointer(arg))
		counters = Counters{arg.matched, arg.delivered, arg.conflated, arg.lost,
			arg.discarded, arg.pending}
		return errno
	})
	return counters, err
}
