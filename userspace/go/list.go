// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"syscall"
	"unsafe"
)

// Entry is a key that a list has.
type Entry struct {
	Key   string
	Size  int // length of the value in bytes
	Value     // Version alone, unless the list has values
}

// List goes over keys:
//
//	list := c.List(ctx, "net/")
//	for list.Next() {
//		fmt.Println(list.Entry().Key)
//	}
//	err := list.Err()
type List struct {
	ctx    context.Context
	conn   *Conn
	prefix string
	bucket uint32
	flags  uint32
	cursor string
	size   int // of the buffer
	ready  []Entry
	entry  Entry
	err    error
	end    bool
}

// ListOption is an option of [Conn.List].
type ListOption func(*List)

// WithValues lists the value of each key, its owner and its writer too.
func WithValues() ListOption { return func(l *List) { l.flags |= listValues } }

// InBucket lists the keys of one bucket alone.
func InBucket(bucket int) ListOption { return func(l *List) { l.bucket = uint32(bucket) } }

// List lists the keys that begin with prefix, in an order without meaning. Others may
// write meanwhile: a key that exists all the time is listed exactly once.
func (c *Conn) List(ctx context.Context, prefix string, options ...ListOption) *List {
	l := &List{ctx: ctx, conn: c, prefix: prefix, bucket: anyBucket, size: 64 << 10}
	for _, option := range options {
		option(l)
	}
	return l
}

// Next goes to the next key. It returns false at the end and after an error.
func (l *List) Next() bool {
	if len(l.ready) == 0 && !l.end && l.err == nil {
		l.err = l.fill()
	}
	if len(l.ready) == 0 || l.err != nil {
		l.entry = Entry{}
		return false
	}
	l.entry, l.ready = l.ready[0], l.ready[1:]
	return true
}

// Entry returns the present key.
func (l *List) Entry() Entry { return l.entry }

// Err returns the error that ended the list, nil if it is complete.
func (l *List) Err() error { return l.err }

// Keys lists the keys that begin with prefix all at once.
func (c *Conn) Keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string

	list := c.List(ctx, prefix)
	for list.Next() {
		keys = append(keys, list.Entry().Key)
	}
	return keys, list.Err()
}

// fill reads the entries behind the cursor.
func (l *List) fill() error {
	larger := 0
	for {
		err := l.conn.call(l.ctx, "list", l.prefix, l.size, func(a *arena) syscall.Errno {
			arg := structure[abiList](a)
			arg.cursor, arg.cursorLen = a.string(l.cursor), uint32(len(l.cursor))
			arg.prefix, arg.prefixLen = a.string(l.prefix), uint32(len(l.prefix))
			arg.bucket, arg.flags = l.bucket, l.flags
			room := a.room(l.size)
			arg.buffer, arg.bufferLen = address(room), uint32(len(room))
			if _, errno := l.conn.command(iocList, unsafe.Pointer(arg)); errno != 0 {
				return errno
			}
			l.end = arg.entries == 0
			if l.end {
				return 0
			}
			if int(arg.bufferLen) > len(room) {
				return syscall.EPROTO
			}
			var errno syscall.Errno
			l.ready, larger, errno = entries(room[:arg.bufferLen], l.flags&listValues != 0)
			return errno
		})
		if err != nil || l.end {
			return err
		}
		if larger == 0 {
			l.cursor = l.ready[len(l.ready)-1].Key
			return nil
		}
		// A value does not fit. It may have grown until the next try.
		if larger <= l.size {
			return fail("list", l.prefix, syscall.EPROTO)
		}
		l.size = larger
	}
}

// entries reads what the kernel listed. It returns the size of the buffer that the first
// value needs, if that did not fit.
func entries(b []byte, values bool) (list []Entry, larger int, errno syscall.Errno) {
	header := int(unsafe.Sizeof(abiListEntry{}))
	if values {
		header += int(unsafe.Sizeof(abiListDetails{}))
	}
	for len(b) > 0 {
		if len(b) < header {
			return nil, 0, syscall.EPROTO
		}
		e := at[abiListEntry](b)
		key := int(e.headerLen)
		value := key + int(e.keyLen)
		end := value
		if values && e.flags&listNoValue != 0 {
			return nil, int(e.len) + int(e.valueLen) + 8, 0
		}
		if values {
			end += int(e.valueLen)
		}
		if int(e.len) > len(b) || e.len%8 != 0 || key < header || end > int(e.len) {
			return nil, 0, syscall.EPROTO
		}
		entry := Entry{Key: string(b[key:value]), Size: int(e.valueLen)}
		entry.Version = e.version
		if values {
			d := at[abiListDetails](b[unsafe.Sizeof(*e):])
			entry.Data = clone(b[value:end])
			entry.TTL, entry.Time, entry.Owner = life(d.ttl), moment(d.time), Owner(d.owner)
			entry.PID, entry.UID = int(d.tgid), d.uid
		}
		list = append(list, entry)
		b = b[e.len:]
	}
	return list, 0, 0
}
