// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"syscall"
	"unsafe"
)

// Features are additions to the first version of the kernel's interface.
type Features uint64

// The features of a module. Without one its calls fail with ENOTTY or EINVAL.
const (
	FeatureConditions Features = 1 << iota
	FeatureOwners
	FeatureTTL
	FeatureBatch
	FeaturePrivate
	FeatureDelivery
	FeatureWait
	FeatureTouch
	FeaturePrevious
	FeatureDetails
	FeatureResync
	FeatureUsers
	FeatureMapEvents
	FeatureMap
)

// Info has the limits of a store and its counters.
type Info struct {
	Features         Features
	Buckets          int
	MaxValue         int    // longest value in bytes
	QueueLen         int    // capacity of a subscriber's queue in events
	QueueBytes       int    // and in bytes
	MaxSubscriptions int    // most subscriptions of a subscriber
	MaxKeys          uint64 // most keys
	MaxBytes         uint64 // most bytes
	PrivateBytes     uint64 // most bytes of all private stores
	Keys             uint64 // present keys
	Bytes            uint64 // present bytes
	Subscriptions    uint64 // present subscriptions
}

func (f *file) info(op string, bucket uint32) (abiInfo, error) {
	var info abiInfo

	err := f.call(context.Background(), op, "", 0, func(a *arena) syscall.Errno {
		arg := structure[abiInfo](a)
		arg.bucket = bucket
		_, errno := f.command(iocInfo, unsafe.Pointer(arg))
		info = *arg
		return errno
	})
	return info, err
}

// Info tells the limits and counters of the store.
func (c *Conn) Info(ctx context.Context) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	info, err := c.info("info", anyBucket)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Features:         Features(info.features),
		Buckets:          int(info.buckets),
		MaxValue:         int(info.maxValue),
		QueueLen:         int(info.queueLen),
		QueueBytes:       int(info.queueBytes),
		MaxSubscriptions: int(info.maxSubscriptions),
		MaxKeys:          info.maxKeys,
		MaxBytes:         info.maxBytes,
		PrivateBytes:     info.privateBytes,
		Keys:             info.keys,
		Bytes:            info.bytes,
		Subscriptions:    info.subscriptions,
	}, nil
}

// Bucket tells the bucket of a key, which need not exist, and the number of buckets.
func (c *Conn) Bucket(ctx context.Context, key string) (bucket, buckets int, err error) {
	err = c.call(ctx, "bucket", key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiKeyBucket](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		_, errno := c.command(iocBucket, unsafe.Pointer(arg))
		bucket, buckets = int(arg.bucket), int(arg.buckets)
		return errno
	})
	return bucket, buckets, err
}

// Subscribers counts the subscriptions of all open files to a key and to its prefixes.
func (c *Conn) Subscribers(ctx context.Context, key string) (count int, err error) {
	err = c.call(ctx, "subscribers", key, 0, func(a *arena) syscall.Errno {
		arg := structure[abiSubscribers](a)
		arg.key, arg.keyLen = a.string(key), uint32(len(key))
		_, errno := c.command(iocSubscribers, unsafe.Pointer(arg))
		count = int(arg.subscribers)
		return errno
	})
	return count, err
}

// FlushOption is an option of [Conn.Flush].
type FlushOption func(*abiFlush)

// FlushSteal also deletes values that other open files own.
func FlushSteal() FlushOption { return func(f *abiFlush) { f.flags |= flushSteal } }

// FlushSubscriptions also removes the subscriptions of all open files to matching keys
// and prefixes. It needs CAP_SYS_ADMIN, or the user that created the private store.
func FlushSubscriptions() FlushOption {
	return func(f *abiFlush) { f.flags |= flushSubscriptions }
}

// FlushBucket narrows a flush to the keys of one bucket.
func FlushBucket(bucket int) FlushOption { return func(f *abiFlush) { f.bucket = uint32(bucket) } }

// Flushed says what a flush removed.
type Flushed struct {
	Values        uint64
	Subscriptions uint64
}

// Flush deletes the values of all keys that begin with prefix. Values of other owners
// stay, unless [FlushSteal] is given.
func (c *Conn) Flush(ctx context.Context, prefix string, options ...FlushOption) (Flushed, error) {
	var flushed Flushed

	err := c.call(ctx, "flush", prefix, 0, func(a *arena) syscall.Errno {
		arg := structure[abiFlush](a)
		arg.bucket = anyBucket
		arg.prefix, arg.prefixLen = a.string(prefix), uint32(len(prefix))
		for _, option := range options {
			option(arg)
		}
		_, errno := c.command(iocFlush, unsafe.Pointer(arg))
		flushed = Flushed{Values: arg.values, Subscriptions: arg.subscriptions}
		return errno
	})
	return flushed, err
}

// UserKind counts what a user uses of one kind.
type UserKind struct {
	Use     uint64 // present use
	Limit   uint64 // most that it may use
	Refused uint64 // calls that failed with ErrUserLimit
}

// UserInfo tells what the user of an open file uses, and its limits.
type UserInfo struct {
	UID           uint32
	Files         UserKind
	Subscriptions UserKind
	QueueBytes    UserKind
	Stores        UserKind
	StoreBytes    UserKind
	OwnedKeys     UserKind
	Waiting       UserKind
	Keys          UserKind
	Bytes         UserKind
}

// User tells what the user of the open file uses, and its limits.
func (c *Conn) User(ctx context.Context) (UserInfo, error) {
	var user UserInfo

	err := c.call(ctx, "user", "", 0, func(a *arena) syscall.Errno {
		arg := structure[abiUserInfo](a)
		_, errno := c.command(iocUser, unsafe.Pointer(arg))
		user.UID = arg.uid
		for i, kind := range []*UserKind{
			&user.Files, &user.Subscriptions, &user.QueueBytes, &user.Stores,
			&user.StoreBytes, &user.OwnedKeys, &user.Waiting, &user.Keys, &user.Bytes,
		} {
			k := arg.kinds[i]
			*kind = UserKind{Use: k.use, Limit: k.limit, Refused: k.refused}
		}
		return errno
	})
	return user, err
}
