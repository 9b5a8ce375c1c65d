// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"syscall"
	"time"
	"unsafe"
)

// Limits of a batch.
const (
	BatchMax   = 256  // operations
	AtomicMax  = 128  // operations of an atomic batch, each on another key
	AtomicKeys = 8192 // bytes of its keys together
)

// Batch is a list of operations for [Conn.Run] and [Conn.RunAtomic]. Its zero value is an
// empty list. It can be run several times.
type Batch struct {
	ops []batchOp
}

type batchOp struct {
	op     uint32
	key    string
	value  []byte
	change change
	size   int // of a get: room for the value; -1: for any
}

// Result is what became of one operation.
type Result struct {
	Err     error  // as of the call of that name
	Version uint64 // of the value, or of the deletion
	Value   Value  // of a get: Data, Version, Owner and TTL
	Queues  int    // of a publish
}

func (b *Batch) add(op uint32, key string, value []byte, options []Option) {
	b.ops = append(b.ops, batchOp{op: op, key: key, value: value, change: changeOf(options), size: -1})
}

// Get adds a get. In an atomic batch an absent key is no failure.
func (b *Batch) Get(key string) { b.add(opGet, key, nil, nil) }

// absent adds a get that is a failure with ERANGE if there is a value.
func (b *Batch) absent(key string) {
	b.Get(key)
	b.ops[len(b.ops)-1].size = 0
}

// Set adds a set. The value is read when the batch is run.
func (b *Batch) Set(key string, value []byte, options ...Option) { b.add(opSet, key, value, options) }

// Publish adds a publish, which cannot [Wait].
func (b *Batch) Publish(key string, value []byte, options ...Option) {
	b.add(opPublish, key, value, options)
}

// Delete adds a delete.
func (b *Batch) Delete(key string, options ...Option) { b.add(opDelete, key, nil, options) }

// Touch adds a touch.
func (b *Batch) Touch(key string, life time.Duration, options ...Option) {
	b.add(opTouch, key, nil, append([]Option{TTL(life)}, options...))
}

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// Clear removes all operations.
func (b *Batch) Clear() { b.ops = b.ops[:0] }

// Run runs up to [BatchMax] operations one after the other, in one call. Each has its
// result, and one that fails does not stop the others. The error is of the call as a whole.
func (c *Conn) Run(ctx context.Context, b *Batch) ([]Result, error) {
	results, _, err := c.run(ctx, b, 0)
	return results, err
}

// RunAtomic runs up to [AtomicMax] operations at one moment, or none of them. Then the error
// is [ErrCanceled], the result of the operation that failed says why, and those of the
// others are ErrCanceled.
func (c *Conn) RunAtomic(ctx context.Context, b *Batch) ([]Result, error) {
	results, _, err := c.run(ctx, b, batchAtomic)
	return results, err
}

func (c *Conn) batchRoom(b *Batch) int {
	size := 0
	for i := range b.ops {
		op := &b.ops[i]
		size += int(unsafe.Sizeof(abiOp{})) + len(op.key) + len(op.value) + 24
		if op.op == opGet || op.change.previous != nil {
			size += c.maxValue
		}
	}
	return size
}

// run returns the results and the index of the operation that failed, the number of
// operations if there is none.
func (c *Conn) run(ctx context.Context, b *Batch, flags uint32) (results []Result, failed int, err error) {
	n := len(b.ops)
	if n == 0 {
		return nil, 0, ctx.Err()
	}
	failed = n
	err = c.call(ctx, "batch", "", c.batchRoom(b), func(a *arena) syscall.Errno {
		ops := structs[abiOp](a, n)
		rooms := make([][]byte, n)
		for i := range b.ops {
			rooms[i] = c.encode(a, &b.ops[i], &ops[i])
		}
		arg := structure[abiBatch](a)
		arg.ops = uint64(uintptr(unsafe.Pointer(&ops[0])))
		arg.nr, arg.opSize, arg.flags = uint32(n), uint32(unsafe.Sizeof(ops[0])), flags
		_, errno := c.command(iocBatch, unsafe.Pointer(arg))
		if errno != 0 && errno != syscall.ECANCELED {
			return errno
		}
		failed = int(arg.failed)
		results = make([]Result, n)
		for i := range ops {
			results[i] = b.ops[i].result(&ops[i], rooms[i])
		}
		return errno
	})
	return results, failed, err
}

// encode writes an operation, and returns the room for its value or its previous one.
func (c *Conn) encode(a *arena, op *batchOp, arg *abiOp) []byte {
	arg.op = op.op
	arg.key, arg.keyLen = a.string(op.key), uint32(len(op.key))
	arg.flags, arg.version, arg.ttl = op.change.flags, op.change.version, op.change.ttl
	if op.change.bad {
		arg.ttl = ^uint64(0) // which the kernel refuses
	}
	if op.op == opGet {
		room := a.room(c.maxValue)
		if op.size >= 0 {
			room = room[:op.size]
		}
		arg.value, arg.valueLen = address(room), uint32(len(room))
		return room
	}
	arg.value, arg.valueLen = a.bytes(op.value), uint32(len(op.value))
	return askPrevious(a, &arg.previous, c.previousRoom(&op.change))
}

var opNames = map[uint32]string{
	opGet: "get", opSet: "set", opPublish: "publish", opDelete: "delete", opTouch: "touch",
}

func (op *batchOp) result(arg *abiOp, room []byte) Result {
	if arg.result != 0 {
		errno := syscall.Errno(-arg.result)
		err := &Error{Op: opNames[op.op], Key: op.key, Err: errno}
		if errno == syscall.ESTALE || errno == syscall.EEXIST {
			err.Version = arg.version
		}
		return Result{Err: err}
	}
	result := Result{Version: arg.version}
	switch op.op {
	case opGet:
		result.Value = Value{
			Data:    clone(room[:arg.valueLen]),
			Version: arg.version,
			Owner:   Owner(arg.queues),
			TTL:     life(arg.ttl),
		}
	case opPublish:
		result.Queues = int(arg.queues)
	}
	tellPrevious(&op.change, &arg.previous, room)
	return result
}
