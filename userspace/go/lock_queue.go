// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// The queue of a lock, as libmetastore has it. Three kinds of keys belong to the lock K:
//
// K.lock	the queue: the number of slots, then the tickets of those that wait, in the
//		order of arrival
// K.lock/T	ticket T. Its contender owns it, so it ends with the contender
// K.slot/N	slot N. Its holder owns it. A lock with one slot has K itself instead
//
// The queue only orders. Only the owner of a slot's key holds the lock, and the kernel lets
// one open file own it. A contender reads version T of the queue. One atomic batch, on the
// condition that this is still the version, appends T to the queue and creates the ticket T.
// Each contender watches the one before it alone. The first one watches the slots.

// A space and 16 hexadecimal digits
const ticketLen = 17

// lockQueue is the queue of a lock as it was read.
type lockQueue struct {
	version uint64
	slots   int // number that the contenders agree on
	tickets []uint64
}

// parseQueue returns EPROTO for a text that is no queue.
func (l *Lock) parseQueue(text string, version uint64) (*lockQueue, error) {
	bad := fail("lock", l.queueKey(), syscall.EPROTO)
	number, rest := text, ""
	if space := strings.IndexByte(text, ' '); space >= 0 {
		number, rest = text[:space], text[space:]
	}
	slots, err := strconv.Atoi(number)
	if err != nil || slots < 1 || slots > LockSlotsMax || len(rest)%ticketLen != 0 {
		return nil, bad
	}
	q := &lockQueue{version: version, slots: slots}
	for ; rest != ""; rest = rest[ticketLen:] {
		ticket, err := strconv.ParseUint(rest[1:ticketLen], 16, 64)
		if err != nil || rest[0] != ' ' {
			return nil, bad
		}
		q.tickets = append(q.tickets, ticket)
	}
	return q, nil
}

func (q *lockQueue) text() []byte {
	text := strconv.AppendInt(nil, int64(q.slots), 10)
	for _, ticket := range q.tickets {
		text = append(text, fmt.Sprintf(" %016x", ticket)...)
	}
	return text
}

// find returns the place of a ticket, -1 without one.
func (q *lockQueue) find(ticket uint64) int {
	for i, t := range q.tickets {
		if t == ticket {
			return i
		}
	}
	return -1
}

// without returns the queue without the tickets from number from to before to.
func (q *lockQueue) without(from, to int) *lockQueue {
	rest := *q
	rest.tickets = append(append([]uint64(nil), q.tickets[:from]...), q.tickets[to:]...)
	return &rest
}

// run runs a batch at one moment. The error is that of the operation that failed, and failed
// its index; -1: none of them.
func (l *Lock) run(ctx context.Context, b *Batch) (results []Result, failed int, err error) {
	results, failed, err = l.store.run(ctx, b, batchAtomic)
	if is(err, syscall.ECANCELED) {
		return results, failed, results[failed].Err
	}
	return results, -1, err
}

// exists asks by a batch: a single get could find the queue of another's batch, and not its
// ticket yet.
func (l *Lock) exists(ctx context.Context, key string) (bool, error) {
	var b Batch

	b.absent(key)
	results, _, err := l.run(ctx, &b)
	if is(err, syscall.ERANGE) {
		return true, nil
	}
	return err == nil && results[0].Err == nil, err
}

func (l *Lock) readQueue(ctx context.Context) (*lockQueue, error) {
	value, err := l.store.get(ctx, l.queueKey(), 0)
	if err != nil {
		return nil, err
	}
	return l.parseQueue(string(value.Data), value.Version)
}

// batchQueue adds to a batch that the queue changes, if it is still as it was read. The holder
// of an exclusive lock owns K, which tells others enough: nothing stays where none wait. With
// several slots their number has to stay.
func (l *Lock) batchQueue(b *Batch, q *lockQueue) {
	if q.slots == 1 && len(q.tickets) == 0 {
		b.Delete(l.queueKey(), IfVersion(q.version))
	} else {
		b.Set(l.queueKey(), q.text(), IfVersion(q.version))
	}
}

// openQueue reads the queue, or makes an empty one. ErrStale means: try again.
func (l *Lock) openQueue(ctx context.Context) (*lockQueue, error) {
	q, err := l.readQueue(ctx)
	if !is(err, syscall.ENOENT) {
		return q, err
	}
	q = &lockQueue{slots: l.slots}
	q.version, err = l.store.Set(ctx, l.queueKey(), q.text(), Create())
	if is(err, syscall.EEXIST) {
		return nil, fail("lock", l.key, syscall.ESTALE)
	}
	return q, err
}

// isUsed reports whether any contender of the queue waits or holds a slot.
func (l *Lock) isUsed(ctx context.Context, q *lockQueue) (bool, error) {
	for _, ticket := range q.tickets {
		if used, err := l.exists(ctx, l.ticketKey(ticket)); used || err != nil {
			return used, err
		}
	}
	for slot := 1; slot <= q.slots; slot++ {
		if used, err := l.exists(ctx, l.slotKey(q.slots, slot)); used || err != nil {
			return used, err
		}
	}
	return false, nil
}

// agreeOnSlots: a queue that none use gets another number of slots.
func (l *Lock) agreeOnSlots(ctx context.Context, q *lockQueue) error {
	if q.slots == l.slots {
		return nil
	}
	used, err := l.isUsed(ctx, q)
	if err != nil {
		return err
	}
	if used {
		return fail("lock", l.key, syscall.EBUSY)
	}
	q.slots = l.slots
	q.tickets = nil
	return nil
}

// cutEnded removes the last tickets whose contenders have ended.
func (l *Lock) cutEnded(ctx context.Context, q *lockQueue) error {
	for len(q.tickets) > 0 {
		last := len(q.tickets) - 1
		if exists, err := l.exists(ctx, l.ticketKey(q.tickets[last])); exists || err != nil {
			return err
		}
		q.tickets = q.tickets[:last]
	}
	return nil
}

// appendTicket enters the queue. ErrStale means: try again.
func (l *Lock) appendTicket(ctx context.Context, q *lockQueue) error {
	var b Batch

	ticket := q.version
	q.tickets = append(q.tickets, ticket)
	l.batchQueue(&b, q)
	b.Set(l.ticketKey(ticket), l.value, Create(), Owned())
	// The key of a lock with several slots stays absent: with a value it is exclusive.
	if l.slots > 1 {
		b.absent(l.key)
	}
	results, failed, err := l.run(ctx, &b)
	if err == nil {
		l.ticket = ticket
		if l.slots > 1 && results[2].Err == nil {
			l.leave(ctx)
			return fail("lock", l.key, syscall.EBUSY)
		}
	}
	if failed == 2 {
		return fail("lock", l.key, syscall.EBUSY)
	}
	if failed == 1 && is(err, syscall.EEXIST) {
		return fail("lock", l.key, syscall.EPROTO)
	}
	return err
}

// join enters the queue.
func (l *Lock) join(ctx context.Context) error {
	for {
		q, err := l.openQueue(ctx)
		if err == nil {
			err = l.agreeOnSlots(ctx, q)
		}
		if err == nil {
			err = l.cutEnded(ctx, q)
		}
		if err == nil {
			err = l.appendTicket(ctx, q)
		}
		if !is(err, syscall.ESTALE) {
			return err
		}
	}
}

func (l *Lock) unwatch(ctx context.Context) {
	if l.watched != 0 {
		l.watch.Unsubscribe(ctx, l.ticketKey(l.watched))
	}
	l.watched = 0
}

// watchTicket watches a ticket and reports whether it exists.
func (l *Lock) watchTicket(ctx context.Context, ticket uint64) (bool, error) {
	key := l.ticketKey(ticket)
	if exists, err := l.exists(ctx, key); !exists || err != nil {
		return false, err
	}
	if ticket != l.watched {
		l.unwatch(ctx)
	}
	// It is subscribed already, unless a flush removed that.
	err := l.watch.Subscribe(ctx, key, Events(EventDeleted))
	if err != nil && !is(err, syscall.EEXIST) {
		return false, err
	}
	l.watched = ticket
	return l.exists(ctx, key)
}

// watchBefore watches the nearest ticket before a place. It returns how many are before it,
// 0: none that exists.
func (l *Lock) watchBefore(ctx context.Context, q *lockQueue, place int) (int, error) {
	for ; place > 0; place-- {
		if exists, err := l.watchTicket(ctx, q.tickets[place-1]); exists || err != nil {
			return place, err
		}
	}
	return 0, nil
}

// turn reports whether it is the first one, and returns the queue without those before it.
// Else another is before it, which it watches now. ErrStale means: begin anew.
func (l *Lock) turn(ctx context.Context) (first bool, q *lockQueue, err error) {
	q, err = l.readQueue(ctx)
	if is(err, syscall.ENOENT) {
		q, err = &lockQueue{}, nil
	}
	if err != nil {
		return false, nil, err
	}
	place := q.find(l.ticket)
	if place < 0 {
		l.leave(ctx)
		return false, nil, fail("lock", l.key, syscall.ESTALE)
	}
	before, err := l.watchBefore(ctx, q, place)
	if err != nil {
		return false, nil, err
	}
	if before < place {
		var b Batch

		q = q.without(before, place)
		l.batchQueue(&b, q)
		// It does not matter if that fails: others will do it.
		if results, _, err := l.run(ctx, &b); err == nil {
			q.version = results[0].Version
		}
	}
	return before == 0, q, nil
}

// take leaves the queue, where it is the first one, for a slot. It reports false if the slot is
// taken. ErrStale means: look anew.
func (l *Lock) take(ctx context.Context, q *lockQueue, slot int) (bool, error) {
	var b Batch

	b.Set(l.slotKey(l.slots, slot), l.value, Create(), Owned())
	b.Delete(l.ticketKey(l.ticket))
	l.batchQueue(&b, q.without(0, 1))
	results, failed, err := l.run(ctx, &b)
	if failed == 0 && is(err, syscall.EEXIST) {
		return false, nil
	}
	// The ticket was taken from it, and its place with it.
	if failed == 1 {
		l.ticket = 0
		return false, fail("lock", l.key, syscall.ESTALE)
	}
	if err != nil {
		return false, err
	}
	l.slot = slot
	l.number = results[0].Version
	l.ticket = 0
	return true, nil
}

// leave gives the ticket back.
func (l *Lock) leave(ctx context.Context) error {
	var err error

	for {
		var b Batch

		b.Delete(l.ticketKey(l.ticket))
		if q, readErr := l.readQueue(ctx); readErr == nil {
			if place := q.find(l.ticket); place >= 0 {
				l.batchQueue(&b, q.without(place, place+1))
			}
		}
		_, _, err = l.run(ctx, &b)
		if !is(err, syscall.ESTALE) {
			break
		}
	}
	l.unwatch(ctx)
	l.ticket = 0
	// It may be gone already, or another's.
	if is(err, syscall.ENOENT, syscall.EBUSY) {
		return nil
	}
	return err
}

// tidy removes the queue of a lock that none use. It does not matter if that fails.
func (l *Lock) tidy(ctx context.Context) {
	q, err := l.readQueue(ctx)
	if err != nil {
		return
	}
	if used, err := l.isUsed(ctx, q); err == nil && !used {
		l.store.Delete(ctx, l.queueKey(), IfVersion(q.version))
	}
}
