// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"fmt"
	"syscall"
)

// Limits of a lock.
const (
	LockKeyMax   = 233 // bytes of its key: other keys are made of it
	LockSlotsMax = 64
)

// Lock is a contender for a lock, or its holder. Contenders take the lock in the order of
// arrival, across processes and languages: it is that of libmetastore and of mstore lock. A
// slot of it is an owned key. It ends with its holder, however that ends.
//
//	lock, err := c.Lock(ctx, "printer")
//	if err != nil {
//		return err
//	}
//	defer lock.Close()
type Lock struct {
	store   *Conn       // owns its ticket, then its slot
	watch   *Subscriber // hears of the end of others, then of its own loss
	key     string
	value   []byte
	slots   int
	ticket  uint64 // place in the queue, 0: none
	watched uint64 // ticket of the contender before it, 0: none
	waits   bool   // watch is subscribed to the slots
	slot    int    // that it took, from 1; 0: none
	lost    bool   // it was taken from it
	number  uint64
}

// LockOption is an option of a lock.
type LockOption func(*Lock)

// Slots lets so many hold the lock at once. All contenders have to name the same number.
func Slots(slots int) LockOption { return func(l *Lock) { l.slots = slots } }

// LockValue is the value of the slot's key while it is held.
func LockValue(value []byte) LockOption { return func(l *Lock) { l.value = value } }

// NewLock makes a contender, which does not contend yet.
func (c *Conn) NewLock(ctx context.Context, key string, options ...LockOption) (*Lock, error) {
	l := &Lock{key: key, slots: 1}
	for _, option := range options {
		option(l)
	}
	switch {
	case key == "" || l.slots < 1 || l.slots > LockSlotsMax:
		return nil, fail("lock", key, syscall.EINVAL)
	case len(key) > LockKeyMax:
		return nil, fail("lock", key, syscall.ENAMETOOLONG)
	case len(l.value) > c.maxValue:
		return nil, fail("lock", key, syscall.EMSGSIZE)
	}
	var err error
	if l.store, err = c.Reopen(ReadWrite); err != nil {
		return nil, err
	}
	if l.watch, err = c.newSubscriber(ctx, ReadOnly); err != nil {
		l.store.Close()
		return nil, err
	}
	return l, nil
}

// Lock waits for a lock and takes it. [Lock.Close] gives it back.
func (c *Conn) Lock(ctx context.Context, key string, options ...LockOption) (*Lock, error) {
	l, err := c.NewLock(ctx, key, options...)
	if err != nil {
		return nil, err
	}
	if err := l.Acquire(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Acquire waits for a slot and takes it. When the context ends before, the place in the queue
// stays until Release: a later call goes on waiting.
//
// Errors are also EALREADY: it holds a slot; [ErrBusy]: the lock is in use with another number
// of slots, or its key has a value; EPROTO: another program wrote to its queue.
func (l *Lock) Acquire(ctx context.Context) error {
	for {
		held, err := l.TryAcquire(ctx)
		if held || err != nil {
			return err
		}
		if err := l.watch.wait(ctx); err != nil {
			return err
		}
	}
}

// TryAcquire is Acquire without a wait: it reports whether a slot was taken. A contender that
// got none keeps its place in the queue.
func (l *Lock) TryAcquire(ctx context.Context) (bool, error) {
	if l.slot != 0 {
		return false, fail("lock", l.key, syscall.EALREADY)
	}
	for {
		if err := l.drain(); err != nil {
			return false, err
		}
		held, err := l.try(ctx)
		if held {
			held, err = l.hold(ctx)
		}
		if !is(err, syscall.ESTALE) {
			return held, err
		}
	}
}

// Held reports whether the lock is still held. A holder loses it when another open file steals
// or deletes the slot's key.
func (l *Lock) Held(ctx context.Context) (bool, error) {
	if l.slot == 0 || l.lost {
		return false, nil
	}
	if err := l.drain(); err != nil {
		return false, err
	}
	if err := l.watchSlot(ctx, l.slot, EventChanges); err != nil {
		return false, err
	}
	stat, err := l.store.Stat(ctx, l.slotKey(l.slots, l.slot))
	if err != nil && !is(err, syscall.ENOENT) {
		return false, err
	}
	l.lost = stat.Owner != OwnerSelf
	return !l.lost, nil
}

// WaitLost waits until the lock is lost, and returns nil then; or the error of the context.
func (l *Lock) WaitLost(ctx context.Context) error {
	for {
		held, err := l.Held(ctx)
		if !held || err != nil {
			return err
		}
		if err := l.watch.wait(ctx); err != nil {
			return err
		}
	}
}

// Number returns the fencing number of the slot that is held, else 0. Each holder of a slot
// has a higher one than the one before it.
func (l *Lock) Number() uint64 {
	if l.slot == 0 {
		return 0
	}
	return l.number
}

// Slot returns the slot that is held, from 1, else 0.
func (l *Lock) Slot() int { return l.slot }

// Conn returns the open file that owns the slot's key. Processes that inherit it hold the
// lock too.
func (l *Lock) Conn() *Conn { return l.store }

// Release gives the slot back, or leaves the queue. The lock can be acquired again. A slot
// that was lost before is [ErrLockLost].
func (l *Lock) Release() error {
	var err error

	ctx := context.Background()
	if l.ticket != 0 {
		err = l.leave(ctx)
	} else if l.slot != 0 {
		err = l.giveBack(ctx)
	}
	if l.slot != 0 {
		l.unwatchSlot(ctx, l.slot)
		if l.slots > 1 {
			l.tidy(ctx)
		}
	}
	l.unwatchSlots(ctx)
	l.slot = 0
	l.lost = false
	if drainErr := l.drain(); err == nil {
		err = drainErr
	}
	return err
}

// Close gives the slot back or leaves the queue, and ends the contender.
func (l *Lock) Close() error {
	err := l.Release()
	l.watch.Close()
	l.store.Close()
	return err
}

// drain reads all that waits: only its arrival matters.
func (l *Lock) drain() error {
	for {
		l.watch.rest = nil
		if more, err := l.watch.fill(); !more {
			return err
		}
	}
}

// watchSlot subscribes to a slot. It is subscribed already, unless a flush removed that.
func (l *Lock) watchSlot(ctx context.Context, slot int, events EventType) error {
	err := l.watch.Subscribe(ctx, l.slotKey(l.slots, slot), Events(events), NoValue())
	if is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

func (l *Lock) unwatchSlot(ctx context.Context, slot int) {
	l.watch.Unsubscribe(ctx, l.slotKey(l.slots, slot))
}

func (l *Lock) unwatchSlots(ctx context.Context) {
	for slot := 1; slot <= l.slots && l.waits; slot++ {
		l.unwatchSlot(ctx, slot)
	}
	l.waits = false
}

// takeAtOnce takes an exclusive lock that none wait for: there is no queue, which is judged at
// the same moment.
func (l *Lock) takeAtOnce(ctx context.Context) (bool, error) {
	var b Batch

	b.absent(l.queueKey())
	b.Set(l.key, l.value, Create(), Owned())
	results, failed, err := l.run(ctx, &b)
	if failed == 0 && is(err, syscall.ERANGE) || failed == 1 && is(err, syscall.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.slot = 1
	l.number = results[1].Version
	return true, nil
}

// try reports whether it took a slot. ErrStale means: try again.
func (l *Lock) try(ctx context.Context) (bool, error) {
	if l.ticket == 0 && l.slots == 1 {
		if held, err := l.takeAtOnce(ctx); held || err != nil {
			return held, err
		}
	}
	if l.ticket == 0 {
		if err := l.join(ctx); err != nil {
			return false, err
		}
	}
	first, queue, err := l.turn(ctx)
	if !first || err != nil {
		// It may have been the first one, and lost that place.
		l.unwatchSlots(ctx)
		return false, err
	}
	l.unwatch(ctx)
	return l.takeAny(ctx, queue)
}

// takeAny takes a slot as the first of the queue. It watches first, so that it cannot miss the
// end of a holder.
func (l *Lock) takeAny(ctx context.Context, queue *lockQueue) (bool, error) {
	l.waits = true
	for slot := 1; slot <= l.slots; slot++ {
		if err := l.watchSlot(ctx, slot, EventDeleted); err != nil {
			return false, err
		}
	}
	for slot := 1; slot <= l.slots; slot++ {
		if held, err := l.take(ctx, queue, slot); held || err != nil {
			return held, err
		}
	}
	return false, nil
}

// hold: from now on only what becomes of the slot matters.
func (l *Lock) hold(ctx context.Context) (bool, error) {
	l.unwatchSlots(ctx)
	held, err := l.Held(ctx)
	if held {
		return true, nil
	}
	if err == nil {
		err = fail("lock", l.key, syscall.ESTALE)
	}
	l.Release()
	return false, err
}

// giveBack deletes the key of the slot, if it is still its own.
func (l *Lock) giveBack(ctx context.Context) error {
	key := l.slotKey(l.slots, l.slot)
	for {
		stat, err := l.store.Stat(ctx, key)
		if err != nil || stat.Owner != OwnerSelf {
			return fail("unlock", l.key, syscall.ENOLCK)
		}
		_, err = l.store.Delete(ctx, key, IfVersion(stat.Version))
		if err == nil {
			return nil
		}
		if !is(err, syscall.ESTALE) {
			return fail("unlock", l.key, syscall.ENOLCK)
		}
	}
}

func (l *Lock) queueKey() string { return l.key + ".lock" }

func (l *Lock) ticketKey(ticket uint64) string {
	return fmt.Sprintf("%s.lock/%016x", l.key, ticket)
}

// slotKey returns the key of a slot of so many.
func (l *Lock) slotKey(slots, slot int) string {
	if slots == 1 {
		return l.key
	}
	return fmt.Sprintf("%s.slot/%d", l.key, slot)
}
