// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"math"
	"strings"
	"syscall"
)

// ChangeType is what a follower tells.
type ChangeType int

// Kinds of changes.
const (
	// ChangeValue: the key has this value.
	ChangeValue ChangeType = iota + 1
	// ChangeDeleted: the key, whose value was told, has none any more.
	ChangeDeleted
	// ChangeInStep: all that was in the store at some moment has been told. It comes
	// once after Add and once after each recovery.
	ChangeInStep
)

// Change is one step by which a copy follows the store.
type Change struct {
	Type    ChangeType
	Key     string
	Value   []byte
	Version uint64
	Event   *Event // what told it; nil: the key was absent in a snapshot
}

// Follower keeps a copy of keys in step with the store. After lost events it gets the
// present state by itself and tells what differs. No key goes back to an older value.
type Follower struct {
	sub      *Subscriber
	each     bool
	noValue  bool
	topics   []*topic
	number   uint32
	known    map[string]*known
	gone     []string // keys whose deletion is to be told
	flushed  bool     // subscriptions may have been removed
	inStep   bool     // told
	settling bool     // to be told once no topic is behind
	behind   int      // topics that are
	inBatch  bool     // the next event is of the same atomic batch
	lost     uint64
	resyncs  uint64
}

// known is a key whose value was told.
type known struct {
	version uint64
	round   uint32 // of its topic in which it was heard of last
}

// topic is a followed key or prefix. Each key belongs to one.
type topic struct {
	key        string
	prefix     bool
	cookie     uint64 // events with another one are of an earlier subscription
	round      uint32 // number of the last snapshot
	behind     uint64 // at most so many of its events are to be read until it is in step
	inSnapshot bool   // its end is to come
	lost       bool   // it has to begin anew
}

// FollowOption is an option of a follower.
type FollowOption func(*Follower)

// EachChange tells each change, not only the newest of each key.
func EachChange() FollowOption { return func(f *Follower) { f.each = true } }

// WithoutValues leaves the values out.
func WithoutValues() FollowOption { return func(f *Follower) { f.noValue = true } }

// NewFollower makes a follower that follows nothing yet.
func (c *Conn) NewFollower(ctx context.Context, options ...FollowOption) (*Follower, error) {
	if c.features&FeatureResync == 0 {
		return nil, fail("follow", "", syscall.ENOTTY)
	}
	sub, err := c.newSubscriber(ctx, ReadOnly)
	if err != nil {
		return nil, err
	}
	f := &Follower{sub: sub, known: make(map[string]*known)}
	for _, option := range options {
		option(f)
	}
	return f, nil
}

// Follow makes a follower of all keys that begin with prefix.
func (c *Conn) Follow(ctx context.Context, prefix string, options ...FollowOption) (*Follower, error) {
	f, err := c.NewFollower(ctx, options...)
	if err != nil {
		return nil, err
	}
	if err := f.Add(ctx, prefix, Prefix()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the follower, and a wait of it.
func (f *Follower) Close() error { return f.sub.Close() }

// Lost tells how many events were lost, and how often it began anew for that.
func (f *Follower) Lost() (events, recoveries uint64) { return f.lost, f.resyncs }

// covers reports whether all keys of a topic belong to t too.
func (t *topic) covers(key string, prefix bool) bool {
	if t.prefix {
		return strings.HasPrefix(key, t.key)
	}
	return !prefix && t.key == key
}

func (t *topic) options() []SubscribeOption {
	if t.prefix {
		return []SubscribeOption{Prefix()}
	}
	return nil
}

// Add follows a key too, or with [Prefix] all keys that begin with it. Its values are told
// next, then [ChangeInStep]. A key under several prefixes is told once.
func (f *Follower) Add(ctx context.Context, key string, options ...SubscribeOption) error {
	how := subscriptionOf(options)
	prefix := how.flags&subscribePrefix != 0
	if how.flags&^subscribePrefix != 0 || how.events != 0 || key == "" && !prefix {
		return fail("follow", key, syscall.EINVAL)
	}
	for _, t := range f.topics {
		if t.covers(key, prefix) {
			return nil
		}
	}
	t := &topic{key: key, prefix: prefix}
	if err := f.subscribe(ctx, t); err != nil {
		return err
	}
	// It takes the place of those that it covers.
	topics := []*topic{t}
	for _, other := range f.topics {
		if !t.covers(other.key, other.prefix) {
			topics = append(topics, other)
			continue
		}
		err := f.sub.Unsubscribe(ctx, other.key, append(other.options(), Discard())...)
		if err != nil && !is(err, syscall.ENOENT) {
			return err
		}
	}
	f.topics = topics
	return nil
}

// subscribe begins to follow, with a snapshot.
func (f *Follower) subscribe(ctx context.Context, t *topic) error {
	f.number++
	t.cookie = uint64(f.number)
	t.round = f.number
	options := append(t.options(), Snapshot(), Events(EventChanges), Cookie(t.cookie))
	if f.noValue {
		options = append(options, NoValue())
	}
	var err error
	if f.each {
		err = f.sub.Subscribe(ctx, t.key, options...)
	} else {
		err = f.sub.Subscribe(ctx, t.key, append(options, Latest())...)
		// The queue reserves room for few keys. A loss is no harm here.
		if is(err, syscall.ENOBUFS) && !t.prefix {
			err = f.sub.Subscribe(ctx, t.key, options...)
		}
	}
	if err != nil {
		return err
	}
	t.inSnapshot, t.lost = true, false
	f.noteLoss()
	return nil
}

// noteLoss: from now on it is not in step, until all has begun anew.
func (f *Follower) noteLoss() {
	f.inStep = false
	f.settling = false
}

// topicOf returns nil for an event of what is not followed any more.
func (f *Follower) topicOf(e *Event) *topic {
	for _, t := range f.topics {
		if t.cookie == e.Cookie {
			return t
		}
	}
	return nil
}

// Next waits for the next change and returns it. The context ends the wait; nothing is left
// out by that, nor by another error.
func (f *Follower) Next(ctx context.Context) (Change, error) {
	for {
		if change, ok, err := f.step(ctx); ok || err != nil {
			return change, err
		}
	}
}

// step tells a change, or goes on.
func (f *Follower) step(ctx context.Context) (change Change, ok bool, err error) {
	if len(f.gone) > 0 {
		return f.tellGone(), true, nil
	}
	if len(f.sub.rest) > 0 {
		return f.handleNext()
	}
	// All that was read is handled.
	if err := f.recover(ctx); err != nil {
		return Change{}, false, err
	}
	if err := f.settle(ctx); err != nil {
		return Change{}, false, err
	}
	more, err := f.sub.fill()
	if more || err != nil {
		return Change{}, false, err
	}
	if f.settling {
		return f.tellInStep(), true, nil
	}
	return Change{}, false, f.sub.wait(ctx)
}

func (f *Follower) tellGone() Change {
	key := f.gone[0]
	f.gone = f.gone[1:]
	version := f.known[key].version
	delete(f.known, key)
	return Change{Type: ChangeDeleted, Key: key, Version: version}
}

func (f *Follower) tellInStep() Change {
	f.inStep = true
	f.settling = false
	return Change{Type: ChangeInStep}
}

// handleNext handles the next record that was read.
func (f *Follower) handleNext() (change Change, ok bool, err error) {
	e, n, err := decode(f.sub.rest)
	if err != nil {
		return Change{}, false, err
	}
	if f.isInStepBefore(&e) {
		return f.tellInStep(), true, nil
	}
	f.sub.rest = f.sub.rest[n:]
	change, ok = f.handle(&e)
	f.inBatch = f.each && e.Flags&EventMore != 0
	f.noteDone(&e)
	return change, ok, nil
}

// isInStepBefore reports whether the copy is in step before an event. A loss that waited was
// read first, and tells that it is not.
func (f *Follower) isInStepBefore(e *Event) bool {
	return f.settling && f.behind == 0 && !f.inBatch && !f.flushed &&
		e.Type != EventLost && e.Type != EventFlushed
}

func (f *Follower) handle(e *Event) (Change, bool) {
	if e.Type == EventFlushed {
		f.flushed = true
		return Change{}, false
	}
	f.lost += e.Count
	t := f.topicOf(e)
	if t == nil {
		return Change{}, false
	}
	switch e.Type {
	case EventPublished, EventSet, EventSnapshot:
		return f.handleValue(t, e)
	case EventDeleted:
		return f.handleDeletion(e)
	case EventSnapshotEnd:
		f.handleSnapshotEnd(t)
	case EventLost:
		t.lost = true
		f.noteLoss()
	}
	return Change{}, false
}

func (f *Follower) handleValue(t *topic, e *Event) (Change, bool) {
	k := f.known[e.Key]
	if k == nil {
		k = &known{}
		f.known[e.Key] = k
	}
	k.round = t.round
	if e.Version <= k.version {
		return Change{}, false
	}
	k.version = e.Version
	return Change{ChangeValue, e.Key, e.Value, e.Version, e}, true
}

func (f *Follower) handleDeletion(e *Event) (Change, bool) {
	k := f.known[e.Key]
	if k == nil || e.Version <= k.version {
		return Change{}, false
	}
	delete(f.known, e.Key)
	return Change{ChangeDeleted, e.Key, nil, e.Version, e}, true
}

// handleSnapshotEnd: keys of the topic that it did not hear of are gone.
func (f *Follower) handleSnapshotEnd(t *topic) {
	t.inSnapshot = false
	if !t.prefix {
		if k := f.known[t.key]; k != nil && k.round != t.round {
			f.gone = append(f.gone, t.key)
		}
		return
	}
	for key, k := range f.known {
		if k.round != t.round && strings.HasPrefix(key, t.key) {
			f.gone = append(f.gone, key)
		}
	}
}

// recover lets what lost events begin anew. But a snapshot comes to its end before the next
// one: else one that loses events each time would never get to its last keys.
func (f *Follower) recover(ctx context.Context) error {
	if f.flushed {
		if err := f.findFlushed(ctx); err != nil {
			return err
		}
	}
	begun := false
	for _, t := range f.topics {
		if !t.lost || t.inSnapshot {
			continue
		}
		if err := f.beginAnew(ctx, t); err != nil {
			return err
		}
		begun = true
	}
	if begun {
		f.resyncs++
	}
	return nil
}

func (f *Follower) beginAnew(ctx context.Context, t *topic) error {
	err := f.sub.Resync(ctx, t.key, t.options()...)
	if is(err, syscall.ENOENT) {
		return f.subscribe(ctx, t)
	}
	if err != nil {
		return err
	}
	f.number++
	t.round = f.number
	t.inSnapshot, t.lost = true, false
	return nil
}

// findFlushed finds out which subscriptions were removed.
func (f *Follower) findFlushed(ctx context.Context) error {
	for _, t := range f.topics {
		_, err := f.sub.Subscription(ctx, t.key, t.options()...)
		if is(err, syscall.ENOENT) {
			t.lost, t.inSnapshot = true, false
			f.noteLoss()
		} else if err != nil {
			return err
		}
	}
	f.flushed = false
	return nil
}

// isSteady reports whether all snapshots have ended, and nothing was lost since.
func (f *Follower) isSteady() bool {
	for _, t := range f.topics {
		if t.inSnapshot || t.lost {
			return false
		}
	}
	return len(f.topics) > 0 && !f.flushed
}

// settle: when the last snapshot has ended, events wait of keys that it had passed. The copy
// is in step behind them. The events of a topic come in their order, but not those of
// several: the kernel alternates between places of exact keys and all others.
func (f *Follower) settle(ctx context.Context) error {
	if f.inStep || !f.isSteady() {
		return nil
	}
	if !f.settling {
		f.settling = true
		f.behind = len(f.topics)
		for _, t := range f.topics {
			t.behind = math.MaxUint64
		}
	}
	for _, t := range f.topics {
		if t.behind == 0 {
			continue
		}
		info, err := f.sub.Subscription(ctx, t.key, t.options()...)
		if is(err, syscall.ENOENT) {
			f.settling = false // EventFlushed waits behind the last events.
			return nil
		}
		if err != nil {
			return err
		}
		// An event that was discarded behind events of other topics is never read.
		if t.behind > info.Pending {
			t.behind = info.Pending
		}
		if t.behind == 0 {
			f.behind--
		}
	}
	return nil
}

// noteDone: an event of a topic was handled, so the topic is less behind.
func (f *Follower) noteDone(e *Event) {
	t := f.topicOf(e)
	if !f.settling || t == nil || t.behind == 0 || e.Type&EventChanges == 0 {
		return
	}
	t.behind--
	if t.behind == 0 {
		f.behind--
	}
}
