// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	first, err := c.Lock(ctx, "printer", LockValue([]byte("me")))
	check(t, err)
	same(t, "value", get(t, c, "printer"), "me")
	same(t, "slot", first.Slot(), 1)
	held, err := first.Held(ctx)
	check(t, err)
	same(t, "held", held, true)
	want(t, first.Acquire(ctx), syscall.EALREADY)

	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = c.Lock(short, "printer")
	want(t, err, context.DeadlineExceeded)
	second, err := c.NewLock(ctx, "printer")
	check(t, err)
	held, err = second.TryAcquire(ctx)
	check(t, err)
	same(t, "held", held, false)
	acquired := make(chan error)
	go func() { acquired <- second.Acquire(ctx) }()
	number := first.Number()
	check(t, first.Close())
	check(t, <-acquired)
	if second.Number() <= number {
		t.Fatalf("number %d after %d", second.Number(), number)
	}
	check(t, second.Release())
	keys, err := c.Keys(ctx, "")
	check(t, err)
	same(t, "keys", len(keys), 0)
	check(t, second.Close())
}

func TestLockIsLost(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	l, err := c.Lock(ctx, "printer")
	check(t, err)
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	want(t, l.WaitLost(short), context.DeadlineExceeded)
	time.AfterFunc(5*time.Millisecond, func() { c.Delete(ctx, "printer", Steal()) })
	check(t, l.WaitLost(ctx))
	held, err := l.Held(ctx)
	check(t, err)
	same(t, "held", held, false)
	want(t, l.Close(), ErrLockLost)
}

func TestBadLocks(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	_, err := c.NewLock(ctx, "")
	want(t, err, ErrBadArg)
	_, err = c.NewLock(ctx, "k", Slots(LockSlotsMax+1))
	want(t, err, ErrBadArg)
	_, err = c.NewLock(ctx, strings.Repeat("k", LockKeyMax+1))
	want(t, err, syscall.ENAMETOOLONG)
	set(t, c, "k.lock", "nonsense")
	_, err = c.Lock(ctx, "k")
	want(t, err, syscall.EPROTO)
}

func TestSlots(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	one, err := c.Lock(ctx, "k", Slots(2))
	check(t, err)
	two, err := c.Lock(ctx, "k", Slots(2))
	check(t, err)
	same(t, "slots", one.Slot()+two.Slot(), 3)
	_, err = c.Lock(ctx, "k", Slots(3))
	want(t, err, ErrBusy)
	three, err := c.NewLock(ctx, "k", Slots(2))
	check(t, err)
	held, err := three.TryAcquire(ctx)
	check(t, err)
	same(t, "held", held, false)
	check(t, one.Close())
	check(t, three.Acquire(ctx))
	check(t, two.Close())
	check(t, three.Close())
	keys, err := c.Keys(ctx, "")
	check(t, err)
	same(t, "keys", len(keys), 0)
}

// Contenders give up, hold and come again: never more of them hold it than there are slots.
func TestCrowd(t *testing.T) {
	const contenders, rounds = 6, 8

	for _, slots := range []int{1, 2} {
		var holders int32
		var wait sync.WaitGroup

		c, ctx := newStore(t, Limits{})
		for i := 0; i < contenders; i++ {
			wait.Add(1)
			go func(i int) {
				defer wait.Done()
				l, err := c.NewLock(ctx, "k", Slots(slots))
				if err != nil {
					t.Error(err)
					return
				}
				defer l.Close()
				for n := 0; n < rounds; n++ {
					if i == 0 && n%2 == 0 { // gives up its place
						if held, _ := l.TryAcquire(ctx); !held {
							l.Release()
						}
					}
					if l.Slot() == 0 {
						err = l.Acquire(ctx)
					}
					if now := atomic.AddInt32(&holders, 1); err != nil || int(now) > slots {
						t.Errorf("%d hold it, %v", now, err)
					}
					atomic.AddInt32(&holders, -1)
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				}
			}(i)
		}
		wait.Wait()
		keys, err := c.Keys(ctx, "")
		check(t, err)
		same(t, "keys", len(keys), 0)
	}
}

// holder is a process of the tool that waits for a lock, says so when it holds it, and holds it
// until its input ends.
func holder(t *testing.T, c *Conn, name string) (held func(), release func()) {
	t.Helper()
	tool, err := exec.LookPath("mstore")
	if err != nil {
		t.Skip("there is no mstore")
	}
	child := exec.Command(tool, "lock", name, "--", "sh", "-c", "echo held; read -r line")
	child.Env = append(os.Environ(), "METASTORE_STORE=fd:3")
	child.ExtraFiles = []*os.File{c.File()}
	in, err := child.StdinPipe()
	check(t, err)
	out, err := child.StdoutPipe()
	check(t, err)
	check(t, child.Start())
	t.Cleanup(func() {
		child.Process.Kill()
		child.Wait()
	})
	held = func() {
		t.Helper()
		line, err := bufio.NewReader(out).ReadString('\n')
		check(t, err)
		same(t, "line", line, "held\n")
	}
	return held, func() { in.Close() }
}

// The tool and this package have one queue.
func TestLockOfTheTool(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	held, release := holder(t, c, "k")
	held()
	first, err := c.NewLock(ctx, "k")
	check(t, err)
	defer first.Close()
	got, err := first.TryAcquire(ctx)
	check(t, err)
	same(t, "held", got, false)
	queued := get(t, c, "k.lock")
	secondHeld, secondRelease := holder(t, c, "k")
	settles(t, "the tool waits", func() bool {
		return len(get(t, c, "k.lock")) == len(queued)+ticketLen
	})
	release()
	check(t, first.Acquire(ctx))
	check(t, first.Release())
	secondHeld()
	secondRelease()
	check(t, first.Acquire(ctx))
}
