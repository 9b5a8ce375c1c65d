// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"
)

// apply makes a change to a copy, and reports whether the copy is in step.
func apply(t *testing.T, f *Follower, ctx context.Context, copied map[string]string) bool {
	t.Helper()
	change, err := f.Next(ctx)
	check(t, err)
	switch change.Type {
	case ChangeValue:
		copied[change.Key] = string(change.Value)
	case ChangeDeleted:
		if _, ok := copied[change.Key]; !ok {
			t.Fatalf("deletion of %q, which was not told", change.Key)
		}
		delete(copied, change.Key)
	case ChangeInStep:
		return true
	}
	return false
}

func state(t *testing.T, c *Conn, prefix string) map[string]string {
	t.Helper()
	all := map[string]string{}
	list := c.List(context.Background(), prefix, WithValues())
	for list.Next() {
		all[list.Entry().Key] = string(list.Entry().Data)
	}
	check(t, list.Err())
	return all
}

func expectCopy(t *testing.T, copied, expected map[string]string) {
	t.Helper()
	if !reflect.DeepEqual(copied, expected) {
		t.Fatalf("the copy is %v, not %v", copied, expected)
	}
}

func TestFollow(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	set(t, c, "net/a", "1")
	set(t, c, "net/b", "1")
	set(t, c, "other", "1")
	f, err := c.Follow(ctx, "net/")
	check(t, err)
	defer f.Close()
	copied := map[string]string{}
	for !apply(t, f, ctx, copied) {
	}
	expectCopy(t, copied, map[string]string{"net/a": "1", "net/b": "1"})
	set(t, c, "net/a", "2")
	apply(t, f, ctx, copied)
	_, err = c.Delete(ctx, "net/b")
	check(t, err)
	apply(t, f, ctx, copied)
	expectCopy(t, copied, map[string]string{"net/a": "2"})
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	_, err = f.Next(short)
	want(t, err, context.DeadlineExceeded)
	// A key that is covered already is not followed twice.
	check(t, f.Add(ctx, "net/a"))
	check(t, f.Add(ctx, "other"))
	check(t, f.Add(ctx, "", Prefix()))
	for !apply(t, f, ctx, copied) {
	}
	expectCopy(t, copied, map[string]string{"net/a": "2", "other": "1"})
	want(t, f.Add(ctx, ""), ErrBadArg)
}

// It does not read while more changes than its queue holds.
func TestFollowAfterALoss(t *testing.T) {
	for _, options := range [][]FollowOption{nil, {EachChange()}} {
		c, ctx := newStore(t, Limits{QueueLen: 8})
		set(t, c, "gone", "1")
		set(t, c, "kept", "1")
		f, err := c.Follow(ctx, "", options...)
		check(t, err)
		copied := map[string]string{}
		for !apply(t, f, ctx, copied) {
		}
		for i := 0; i < 100; i++ {
			set(t, c, fmt.Sprint(i), "1")
		}
		_, err = c.Delete(ctx, "gone")
		check(t, err)
		// A value that did not change is not told again.
		copied["kept"] = "told"
		for !apply(t, f, ctx, copied) {
		}
		same(t, "kept", copied["kept"], "told")
		copied["kept"] = "1"
		expectCopy(t, copied, state(t, c, ""))
		lost, recoveries := f.Lost()
		if lost == 0 || recoveries == 0 {
			t.Fatalf("%d events lost, %d recoveries", lost, recoveries)
		}
		check(t, f.Close())
	}
}

// A prefix that begins anew leaves the keys of another one alone.
func TestFollowTwoPrefixesOfWhichOneLoses(t *testing.T) {
	c, ctx := newStore(t, Limits{QueueLen: 8})
	set(t, c, "a/gone", "1")
	set(t, c, "b/kept", "1")
	f, err := c.NewFollower(ctx, EachChange())
	check(t, err)
	defer f.Close()
	check(t, f.Add(ctx, "a/", Prefix()))
	check(t, f.Add(ctx, "b/", Prefix()))
	copied := map[string]string{}
	for !apply(t, f, ctx, copied) {
	}
	_, err = c.Delete(ctx, "a/gone")
	check(t, err)
	for i := 0; i < 100; i++ {
		set(t, c, fmt.Sprint("a/", i), "1")
	}
	for !apply(t, f, ctx, copied) {
	}
	same(t, "b/kept", copied["b/kept"], "1")
	expectCopy(t, copied, state(t, c, ""))
}

// An atomic batch comes after the kernel said that nothing waits of one prefix, and before it
// said how much does of the other.
func TestInStepIsNotToldWithinABatch(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	f, err := c.NewFollower(ctx, EachChange())
	check(t, err)
	defer f.Close()
	check(t, f.Add(ctx, "a/", Prefix()))
	check(t, f.Add(ctx, "b/", Prefix()))
	for len(f.sub.rest) > 0 || !f.isSteady() {
		_, _, err := f.step(ctx)
		check(t, err)
	}
	f.settling, f.behind = true, 1
	for _, topic := range f.topics {
		if topic.key == "b/" {
			topic.behind = math.MaxUint64
		}
	}
	keys := []string{"a/1", "b/1", "a/2"}
	var b Batch
	for _, key := range keys {
		b.Set(key, []byte("1"))
	}
	_, err = c.RunAtomic(ctx, &b)
	check(t, err)
	for i, key := range keys {
		change, err := f.Next(ctx)
		check(t, err)
		if change.Type != ChangeValue || change.Key != key {
			t.Fatalf("after %d changes of a batch: %+v", i, change)
		}
	}
	same(t, "in step", apply(t, f, ctx, map[string]string{}), true)
}

func TestFollowAfterAFlush(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	set(t, c, "k", "1")
	f, err := c.NewFollower(ctx)
	check(t, err)
	defer f.Close()
	check(t, f.Add(ctx, "k"))
	copied := map[string]string{}
	for !apply(t, f, ctx, copied) {
	}
	_, err = c.Flush(ctx, "", FlushSubscriptions())
	check(t, err)
	for !apply(t, f, ctx, copied) {
	}
	expectCopy(t, copied, map[string]string{})
	set(t, c, "k", "2")
	apply(t, f, ctx, copied)
	expectCopy(t, copied, map[string]string{"k": "2"})
}

// A writer changes keys all the time; the follower must end up with the same.
func TestFollowUnderLoad(t *testing.T) {
	c, ctx := newStore(t, Limits{QueueLen: 16})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < 2000; i++ {
			key := fmt.Sprint(i % 37)
			if i%5 == 0 {
				c.Delete(ctx, key)
			} else {
				c.Set(ctx, key, []byte(fmt.Sprint(i)))
			}
		}
		c.Set(ctx, "last", []byte("1"))
	}()
	f, err := c.Follow(ctx, "")
	check(t, err)
	defer f.Close()
	copied := map[string]string{}
	for copied["last"] == "" {
		apply(t, f, ctx, copied)
	}
	<-done
	settles(t, "the copy is equal", func() bool {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		change, err := f.Next(short)
		if err != nil {
			return reflect.DeepEqual(copied, state(t, c, ""))
		}
		switch change.Type {
		case ChangeValue:
			copied[change.Key] = string(change.Value)
		case ChangeDeleted:
			delete(copied, change.Key)
		}
		return false
	})
}
