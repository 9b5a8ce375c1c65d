// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"
)

// patience is how long to wait for what must come: see slowness.h of the selftests.
func patience() time.Duration {
	slowness, err := strconv.Atoi(os.Getenv("SLOWNESS"))
	if err != nil || slowness < 1 {
		slowness = 1
	}
	return time.Duration(slowness) * time.Minute
}

// testContext ends when what must come did not.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience())
	t.Cleanup(cancel)
	return ctx
}

// newStore returns an empty private store.
func newStore(t *testing.T, limits Limits) (*Conn, context.Context) {
	t.Helper()
	ctx := testContext(t)
	c, err := OpenPrivate(ctx, limits)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c, ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless the error is the one that is expected.
func want(t *testing.T, err, expected error) {
	t.Helper()
	if !errors.Is(err, expected) {
		t.Fatalf("error %v, not %v", err, expected)
	}
}

func same[T comparable](t *testing.T, what string, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("%s is %v, not %v", what, got, expected)
	}
}

func set(t *testing.T, c *Conn, key, value string, options ...Option) uint64 {
	t.Helper()
	version, err := c.Set(context.Background(), key, []byte(value), options...)
	check(t, err)
	return version
}

func get(t *testing.T, c *Conn, key string) string {
	t.Helper()
	value, err := c.Get(context.Background(), key)
	check(t, err)
	return string(value)
}

// next reads an event and checks its kind and its value.
func next(t *testing.T, s *Subscriber, ctx context.Context, kind EventType, key, value string) Event {
	t.Helper()
	event, err := s.Next(ctx)
	check(t, err)
	if event.Type != kind || event.Key != key || string(event.Value) != value {
		t.Fatalf("event %v %q %q, not %v %q %q", event.Type, event.Key, event.Value, kind, key, value)
	}
	return event
}

// settles waits until a condition is true.
func settles(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience()); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
