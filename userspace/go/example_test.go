// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sort"
	"syscall"
	"time"

	ms "metastore"
)

// Five publishers and three subscribers share a key. All subscribers get all values.
func Example_manyToMany() {
	var S ms.Store
	S.Init()

	// five publishers on the same key
	for pid := 0; pid < 5; pid++ {
		go func(pid int) {
			for i := 0; ; i++ {
				time.Sleep(50 * time.Millisecond)
				S.Publish("k123", fmt.Sprintf("%d_%d", pid, i))
			}
		}(pid)
	}

	c1 := make(chan string)
	c2 := make(chan string)
	c3 := make(chan string)
	S.Subscribe("k123", c1)
	S.Subscribe("k123", c2)
	S.Subscribe("k123", c3)

	got := map[string][3]bool{}
	complete := 0
	note := func(channel int, value string) {
		channels := got[value]
		channels[channel] = true
		got[value] = channels
		if channels == [3]bool{true, true, true} {
			complete++
		}
	}
	for complete < 10 {
		select {
		case v := <-c1:
			note(0, v)
		case v := <-c2:
			note(1, v)
		case v := <-c3:
			note(2, v)
		}
	}
	fmt.Println("ten values reached three channels")
	// Output: ten values reached three channels
}

func ExampleMetaStore() {
	var m ms.MetaStore
	m.Init(1000)
	defer m.Close()

	h := m.GetHasher()
	m.Bucket[h([]byte("the key"))].Set("the key", "the value")
	fmt.Println(m.Get("the key"))
	// Output: the value true
}

// open returns a store with some keys for the examples.
func open(ctx context.Context) *ms.Conn {
	c, err := ms.OpenPrivate(ctx, ms.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func ExampleConn_Set() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()

	version, err := c.Set(ctx, "rate", []byte("20"), ms.Create())
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Set(ctx, "rate", []byte("21"), ms.Create())
	fmt.Println(errors.Is(err, ms.ErrExists))
	_, err = c.Set(ctx, "rate", []byte("21"), ms.IfVersion(version))
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

func ExampleConn_List() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()
	c.Set(ctx, "net/a", []byte("up"))
	c.Set(ctx, "net/b", []byte("down"))

	var lines []string
	list := c.List(ctx, "net/", ms.WithValues())
	for list.Next() {
		lines = append(lines, list.Entry().Key+" "+string(list.Entry().Data))
	}
	if err := list.Err(); err != nil {
		log.Fatal(err)
	}
	sort.Strings(lines)
	fmt.Println(lines)
	// Output: [net/a up net/b down]
}

func ExampleConn_RunAtomic() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()
	version, _ := c.Set(ctx, "from", []byte("100"))

	var b ms.Batch
	b.Set("from", []byte("90"), ms.IfVersion(version))
	b.Set("to", []byte("110"))
	for i := 0; i < 2; i++ {
		results, err := c.RunAtomic(ctx, &b)
		if errors.Is(err, ms.ErrCanceled) {
			fmt.Println(errors.Is(results[0].Err, syscall.ESTALE))
		} else {
			fmt.Println(err)
		}
	}
	// Output:
	// <nil>
	// true
}

func ExampleConn_Subscribe() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()
	s, err := c.Subscribe(ctx, "door", ms.Events(ms.EventChanges))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	c.Set(ctx, "door", []byte("open"))
	c.Delete(ctx, "door")
	for i := 0; i < 2; i++ {
		event, err := s.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Type, event.Key, string(event.Value))
	}
	// Output:
	// set door open
	// deleted door open
}

func ExampleConn_Follow() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()
	c.Set(ctx, "net/a", []byte("up"))

	f, err := c.Follow(ctx, "net/")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	table := map[string]string{}
	for {
		change, err := f.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		switch change.Type {
		case ms.ChangeValue:
			table[change.Key] = string(change.Value)
		case ms.ChangeDeleted:
			delete(table, change.Key)
		case ms.ChangeInStep:
			fmt.Println(table)
			return
		}
	}
	// Output: map[net/a:up]
}

func ExampleConn_Lock() {
	ctx := context.Background()
	c := open(ctx)
	defer c.Close()

	lock, err := c.Lock(ctx, "printer")
	if err != nil {
		log.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = c.Lock(short, "printer")
	fmt.Println(err)
	fmt.Println(lock.Close())
	// Output:
	// context deadline exceeded
	// <nil>
}
