// SPDX-License-Identifier: LGPL-2.1-or-later

// Package metastore is the Go binding of /dev/metastore, a string map with
// publish and subscribe that the Linux kernel keeps for the whole machine.
//
// It has two interfaces.
//
// [Store] and [MetaStore] have the interface of the Go library of the same name: a
// program written for that needs another import path only. Each value of these types
// that Init makes is a private store, which no other process sees, and which ends with
// the process. [OpenStore] and [OpenMetaStore] open the machine's store instead.
//
// [Conn] has all that the kernel offers: conditions, owners, times to live, batches,
// prefixes, snapshots, followers and locks. Its calls take a context. Only calls
// that wait depend on it for longer than a moment: [Conn.Publish] with [Wait],
// [Subscriber.Next], [Follower.Next], [Lock.Acquire] and [Lock.WaitLost]. All
// others check it once and then take some microseconds.
//
// # Keys, values and errors
//
// A key is a string of 1 to [KeyMax] bytes, a value has 0 bytes to [Info.MaxValue].
// Both may hold any bytes. Errors of the kernel are of type [*Error] and wrap a
// [syscall.Errno], so that errors.Is(err, metastore.ErrNotFound) and
// errors.Is(err, fs.ErrNotExist) both tell whether a key is absent.
//
// # Concurrency
//
// All methods may be called by several goroutines at once, with one exception: Next,
// Acquire, WaitLost and other methods of one [Follower], [Lock] or [List] belong to
// one goroutine at a time, and so does [Subscriber.Next]. Close of a Subscriber or a
// Follower may always be called, and ends a wait.
//
// # Open files
//
// A [Conn], a [Subscriber], a [Follower], a [Lock] and a [Held] each have an open file,
// a Lock two. Keys belong to the open file that owns them. The descriptors of readers are
// non-blocking and wait in Go's poller: no thread waits for them, and no goroutine but
// the one that called Next. While it waits with a context that can be canceled, another
// one watches that. What [Conn.Map] maps is one more open file, without a descriptor.
//
// # Memory
//
// The interface of the kernel has addresses in structures. Memory of Go may move and
// its collector does not see such addresses. So arguments and results pass
// through memory that the package maps for itself. What [Conn.Map] and [Subscriber.MapEvents] map is
// the kernel's, and is copied too. Slices that the package returns are ordinary ones, which the
// caller may keep and change.
package metastore
