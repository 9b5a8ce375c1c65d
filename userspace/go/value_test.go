// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestGetReturnsWhatWasSet(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	info, err := c.Info(ctx)
	check(t, err)
	for _, value := range []string{"", "open", "a\x00b", strings.Repeat("x", info.MaxValue)} {
		set(t, c, "door\x00/", value)
		if got := get(t, c, "door\x00/"); got != value {
			t.Fatalf("%d bytes, not %d", len(got), len(value))
		}
	}
	_, err = c.Set(ctx, "door", make([]byte, info.MaxValue+1))
	want(t, err, ErrTooLong)
}

func TestErrorsHaveNumbers(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	_, err := c.Get(ctx, "absent")
	want(t, err, ErrNotFound)
	want(t, err, syscall.ENOENT)
	want(t, err, fs.ErrNotExist)
	same(t, "text", err.Error(), `metastore: get "absent": no such file or directory`)
	_, err = c.Get(ctx, "")
	want(t, err, ErrBadArg)
	_, err = c.Get(ctx, strings.Repeat("k", KeyMax+1))
	want(t, err, ErrBadArg)

	_, err = Open("/absent", ReadOnly)
	want(t, err, fs.ErrNotExist)
	_, err = Open("/dev/null", ReadOnly)
	want(t, err, syscall.ENOTTY)
	_, err = Open("fd:1000000", ReadOnly)
	want(t, err, syscall.EBADF)
	r, err := c.Reopen(ReadOnly)
	check(t, err)
	defer r.Close()
	_, err = r.Set(ctx, "k", nil)
	want(t, err, ErrNotAllowed)
	_, err = r.Reopen(ReadWrite)
	want(t, err, fs.ErrPermission)
	r.Close()
	_, err = r.Get(ctx, "k")
	want(t, err, syscall.EBADF)
}

func TestContextThatIsOver(t *testing.T) {
	c, _ := newStore(t, Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Set(ctx, "k", nil)
	want(t, err, context.Canceled)
	_, err = c.Get(context.Background(), "k")
	want(t, err, ErrNotFound)
}

func TestConditions(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	_, err := c.Set(ctx, "k", nil, Replace())
	want(t, err, ErrNotFound)
	first := set(t, c, "k", "1", Create())
	_, err = c.Set(ctx, "k", nil, Create())
	want(t, err, ErrExists)
	second := set(t, c, "k", "2", IfVersion(first))
	if second <= first {
		t.Fatalf("version %d after %d", second, first)
	}
	_, err = c.Set(ctx, "k", nil, IfVersion(first))
	want(t, err, ErrStale)
	var e *Error
	if !errors.As(err, &e) || e.Version != second || e.Key != "k" {
		t.Fatalf("%#v", e)
	}
	_, err = c.Delete(ctx, "k", IfVersion(first))
	want(t, err, ErrStale)
	deleted, err := c.Delete(ctx, "k", IfVersion(second))
	check(t, err)
	if deleted <= second {
		t.Fatalf("version %d after %d", deleted, second)
	}
	_, err = c.Set(ctx, "k", nil, Create(), Replace())
	want(t, err, ErrBadArg)
	_, err = c.Delete(ctx, "k", TTL(time.Second))
	want(t, err, ErrBadArg)
}

func TestOwners(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	other, err := c.Reopen(ReadWrite)
	check(t, err)
	set(t, c, "k", "mine", Owned())
	_, err = other.Set(ctx, "k", nil)
	want(t, err, ErrBusy)
	value, err := other.GetInfo(ctx, "k")
	check(t, err)
	same(t, "owner", value.Owner, OwnerOther)
	set(t, other, "k", "yours", Owned(), Steal())
	stat, err := other.Stat(ctx, "k")
	check(t, err)
	same(t, "owner", stat.Owner, OwnerSelf)
	check(t, other.Close())
	_, err = c.Get(ctx, "k")
	want(t, err, ErrNotFound)
}

func TestHold(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	held, err := c.Hold(ctx, "service", []byte("starting"), Create())
	check(t, err)
	_, err = held.Set(ctx, []byte("up"))
	check(t, err)
	same(t, "value", get(t, c, "service"), "up")
	_, err = c.Set(ctx, "service", nil)
	want(t, err, ErrBusy)
	_, err = c.Hold(ctx, "service", nil, Create())
	want(t, err, ErrExists)
	check(t, held.Close())
	_, err = c.Get(ctx, "service")
	want(t, err, ErrNotFound)
}

func TestTimeToLive(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	set(t, c, "k", "1", TTL(time.Hour))
	set(t, c, "k", "2", KeepTTL())
	value, err := c.GetInfo(ctx, "k")
	check(t, err)
	if value.TTL <= 59*time.Minute || value.TTL > time.Hour {
		t.Fatalf("%v to live", value.TTL)
	}
	version, err := c.Touch(ctx, "k", 2*time.Hour)
	check(t, err)
	same(t, "version", version, value.Version)
	stat, err := c.Stat(ctx, "k")
	check(t, err)
	if stat.TTL <= time.Hour {
		t.Fatalf("%v to live", stat.TTL)
	}
	_, err = c.Touch(ctx, "k", time.Microsecond)
	check(t, err)
	settles(t, "end of the value", func() bool {
		_, err := c.Get(ctx, "k")
		return errors.Is(err, ErrNotFound)
	})
	set(t, c, "k", "3")
	_, err = c.Touch(ctx, "k", time.Second)
	want(t, err, ErrNoTTL)
	for _, life := range []time.Duration{0, -time.Second} {
		_, err = c.Set(ctx, "k", nil, TTL(life))
		want(t, err, ErrBadArg)
	}
}

func TestInfoOfAValue(t *testing.T) {
	c, ctx := newStore(t, Limits{Buckets: 3})
	before := time.Now().Add(-time.Second)
	version := set(t, c, "k", "four")
	value, err := c.GetInfo(ctx, "k")
	check(t, err)
	stat, err := c.Stat(ctx, "k")
	check(t, err)
	same(t, "value", string(value.Data), "four")
	same(t, "size", stat.Size, 4)
	same(t, "version", value.Version, version)
	same(t, "version", stat.Version, version)
	same(t, "owner", value.Owner, OwnerNone)
	same(t, "process", value.PID, os.Getpid())
	same(t, "process", stat.PID, os.Getpid())
	same(t, "user", value.UID, uint32(os.Geteuid()))
	same(t, "life", value.TTL, 0)
	if !stat.Time.Equal(value.Time) || value.Time.Before(before) || value.Time.After(time.Now().Add(time.Second)) {
		t.Fatalf("times %v and %v", value.Time, stat.Time)
	}
	bucket, buckets, err := c.Bucket(ctx, "k")
	check(t, err)
	same(t, "buckets", buckets, 3)
	same(t, "bucket", stat.Bucket, bucket)
}

func TestSwapAndTake(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	previous, version, err := c.Swap(ctx, "k", []byte("1"))
	check(t, err)
	if previous.Version != 0 || previous.Data != nil {
		t.Fatalf("previous value %+v", previous)
	}
	previous, _, err = c.Swap(ctx, "k", []byte("2"), Owned())
	check(t, err)
	same(t, "value", string(previous.Data), "1")
	same(t, "version", previous.Version, version)
	taken, err := c.Take(ctx, "k")
	check(t, err)
	same(t, "value", string(taken.Data), "2")
	same(t, "owner", taken.Owner, OwnerSelf)
	_, err = c.Take(ctx, "k")
	want(t, err, ErrNotFound)

	long := bytes.Repeat([]byte("x"), 50000)
	set(t, c, "k", string(long))
	taken, err = c.Take(ctx, "k")
	check(t, err)
	if !bytes.Equal(taken.Data, long) {
		t.Fatalf("%d bytes", len(taken.Data))
	}
}

func TestAdd(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	var wait sync.WaitGroup
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := 0; i < 50; i++ {
				if _, err := c.Add(ctx, "n", 2); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wait.Wait()
	sum, err := c.Add(ctx, "n", -401)
	check(t, err)
	same(t, "sum", sum, -1)
	same(t, "value", get(t, c, "n"), "-1")

	set(t, c, "n", "9223372036854775807")
	_, err = c.Add(ctx, "n", 1)
	want(t, err, ErrOverflow)
	set(t, c, "n", "-9223372036854775808")
	_, err = c.Add(ctx, "n", -1)
	want(t, err, ErrOverflow)
	sum, err = c.Add(ctx, "n", math.MaxInt64)
	check(t, err)
	same(t, "sum", sum, -1)
	for _, text := range []string{"", "007", "+1", "-0", "1 ", "99999999999999999999"} {
		set(t, c, "n", text)
		_, err = c.Add(ctx, "n", 1)
		want(t, err, ErrNotNumber)
	}
	_, err = c.Add(ctx, "m", 1, Create())
	want(t, err, ErrBadArg)
}

func TestAddKeepsOwnerAndLife(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	for i := 0; i < 2; i++ {
		_, err := c.Add(ctx, "n", 1, TTL(time.Hour), Owned())
		check(t, err)
	}
	value, err := c.GetInfo(ctx, "n")
	check(t, err)
	same(t, "value", string(value.Data), "2")
	same(t, "owner", value.Owner, OwnerSelf)
	if value.TTL == 0 {
		t.Fatal("it lives without limit")
	}
}

func TestPrivateStores(t *testing.T) {
	c, ctx := newStore(t, Limits{MaxKeys: 2})
	other, err := c.Private(ctx, Limits{})
	check(t, err)
	defer other.Close()
	set(t, other, "k", "1")
	_, err = c.Get(ctx, "k")
	want(t, err, ErrNotFound)
	set(t, c, "a", "1")
	set(t, c, "b", "1")
	_, err = c.Set(ctx, "c", nil)
	want(t, err, ErrStoreFull)
}

func TestList(t *testing.T) {
	c, ctx := newStore(t, Limits{Buckets: 2})
	long := strings.Repeat("x", 60000)
	values := map[string]string{}
	for i := 0; i < 300; i++ {
		key := "net/" + strings.Repeat("k", i%200) + string(rune('0'+i/200))
		values[key] = strings.Repeat("v", i)
	}
	values["net/long1"], values["net/long2"] = long, long
	for key, value := range values {
		set(t, c, key, value)
	}
	set(t, c, "other", "")
	for _, options := range [][]ListOption{nil, {WithValues()}} {
		seen := 0
		list := c.List(ctx, "net/", options...)
		for list.Next() {
			e := list.Entry()
			seen++
			if e.Size != len(values[e.Key]) || e.Version == 0 {
				t.Fatalf("%q: %d bytes, version %d", e.Key, e.Size, e.Version)
			}
			if options != nil && (string(e.Data) != values[e.Key] || e.PID != os.Getpid()) {
				t.Fatalf("%q: other value, or process %d", e.Key, e.PID)
			}
		}
		check(t, list.Err())
		same(t, "keys", seen, len(values))
		same(t, "next", list.Next(), false)
	}
	keys, err := c.Keys(ctx, "")
	check(t, err)
	same(t, "keys", len(keys), len(values)+1)
	inBuckets := 0
	for bucket := 0; bucket < 2; bucket++ {
		for list := c.List(ctx, "", InBucket(bucket)); list.Next(); inBuckets++ {
			b, _, err := c.Bucket(ctx, list.Entry().Key)
			check(t, err)
			same(t, "bucket", b, bucket)
		}
	}
	same(t, "keys", inBuckets, len(keys))
	list := c.List(ctx, "", InBucket(2))
	same(t, "next", list.Next(), false)
	want(t, list.Err(), syscall.ERANGE)
}

func TestFlush(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	other, err := c.Reopen(ReadWrite)
	check(t, err)
	defer other.Close()
	set(t, c, "net/a", "")
	set(t, c, "other", "")
	set(t, other, "net/b", "", Owned())
	flushed, err := c.Flush(ctx, "net/")
	check(t, err)
	same(t, "flushed", flushed, Flushed{Values: 1})
	flushed, err = c.Flush(ctx, "", FlushSteal())
	check(t, err)
	same(t, "flushed", flushed, Flushed{Values: 2})
	info, err := c.Info(ctx)
	check(t, err)
	same(t, "keys", info.Keys, 0)
}

func TestUser(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	before, err := c.User(ctx)
	check(t, err)
	set(t, c, "k", "", Owned())
	after, err := c.User(ctx)
	check(t, err)
	same(t, "owned keys", after.OwnedKeys.Use, before.OwnedKeys.Use+1)
	if after.Files.Use == 0 || after.Files.Limit == 0 || after.UID != uint32(os.Geteuid()) {
		t.Fatalf("%+v", after)
	}
}

func TestBatch(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	set(t, c, "old", "1", TTL(time.Hour))
	var b Batch
	var previous Value
	b.Set("a", []byte("new"))
	b.Get("a")
	b.Get("absent")
	b.Publish("old", []byte("2"), Previous(&previous), KeepTTL())
	b.Touch("old", time.Minute)
	b.Get("old")
	b.Delete("a")
	b.Set("a", nil, TTL(0))
	results, err := c.Run(ctx, &b)
	check(t, err)
	same(t, "results", len(results), b.Len())
	for i, expected := range []error{nil, nil, ErrNotFound, nil, nil, nil, nil, ErrBadArg} {
		want(t, results[i].Err, expected)
	}
	same(t, "value", string(results[1].Value.Data), "new")
	same(t, "version", results[1].Version, results[0].Version)
	same(t, "previous", string(previous.Data), "1")
	same(t, "value", string(results[5].Value.Data), "2")
	if life := results[5].Value.TTL; life <= 0 || life > time.Minute {
		t.Fatalf("%v to live", life)
	}

	b.Clear()
	results, err = c.Run(ctx, &b)
	check(t, err)
	same(t, "results", len(results), 0)
	for i := 0; i <= BatchMax; i++ {
		b.Get("a")
	}
	_, err = c.Run(ctx, &b)
	want(t, err, ErrBadArg)
}

func TestAtomicBatch(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	version := set(t, c, "from", "100")
	set(t, c, "to", "100")
	transfer := func(version uint64) ([]Result, error) {
		var b Batch
		b.Get("absent")
		b.Set("from", []byte("90"), IfVersion(version))
		b.Set("to", []byte("110"))
		return c.RunAtomic(ctx, &b)
	}
	results, err := transfer(version - 1)
	want(t, err, ErrCanceled)
	want(t, results[1].Err, ErrStale)
	want(t, results[2].Err, ErrCanceled)
	var e *Error
	if !errors.As(results[1].Err, &e) || e.Version != version {
		t.Fatalf("%#v", e)
	}
	same(t, "value", get(t, c, "to"), "100")
	results, err = transfer(version)
	check(t, err)
	want(t, results[0].Err, ErrNotFound)
	same(t, "value", get(t, c, "from")+get(t, c, "to"), "90110")
}

// Many goroutines at once take arenas of different sizes.
func TestManyAtOnce(t *testing.T) {
	c, ctx := newStore(t, Limits{})
	var wait sync.WaitGroup
	for i := 0; i < 40; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			key := string(rune('a' + i))
			value := bytes.Repeat([]byte{byte(i)}, i*1000)
			for n := 0; n < 20; n++ {
				var b Batch
				b.Set(key, value)
				b.Get(key)
				results, err := c.Run(ctx, &b)
				if err != nil || !bytes.Equal(results[1].Value.Data, value) {
					t.Errorf("%v: %d bytes", err, len(results[1].Value.Data))
				}
				got, err := c.Get(ctx, key)
				if err != nil || !bytes.Equal(got, value) {
					t.Errorf("%v: %d bytes", err, len(got))
				}
			}
		}(i)
	}
	wait.Wait()
}
