// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// How often to lose records to the kernel before read(2) is asked, which loses none.
const ringTries = 4

// POLLIN of poll(2)
const pollIn = 0x0001

// ring is the mapped ring of an open file: events without a system call, see struct
// metastore_ring_producer in linux/metastore.h.
type ring struct {
	producer *abiRingProducer
	consumer *abiRingConsumer
	records  []byte // twice in a row
	size     uint64
	mem      [2][]byte
}

// DefaultRing is the size of a mapped ring in bytes if [Subscriber.MapEvents] is given none.
const DefaultRing = 256 << 10

// MapEvents lets Next and TryNext read events from memory that the kernel shares, without a
// system call, as long as there are any. Those that the memory has not, such as large ones, those
// of [Latest] and of snapshots and [EventLost], are read as before, in their order. The size in
// bytes is rounded up to a power of two; 0 stands for [DefaultRing].
//
// Call it where Next is called. It ends with Close. [Subscriber.Queue] cannot change the queue any
// more ([ErrBusy]), so do that before.
//
// Errors are syscall.EACCES if the [Conn] was not opened to read and write, [ErrBusy] if it was
// called before, [ErrUserLimit] if the user's limit user_queue_bytes does not allow it,
// [ErrBadArg] for more than 64 MiB, syscall.EOPNOTSUPP in 32-bit programs and in user and PID
// namespaces other than the initial one, syscall.ENODEV if the module is retired or too old,
// syscall.ENOMEM, and syscall.EAGAIN if the program locks its future memory, see mlockall(2), and
// RLIMIT_MEMLOCK is too low.
func (s *Subscriber) MapEvents(ctx context.Context, size int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case !canMap:
		return fail("map", "", syscall.EOPNOTSUPP)
	case size < 0 || size > ringMax:
		return fail("map", "", syscall.EINVAL)
	case s.ring.Load() != nil:
		return fail("map", "", syscall.EBUSY)
	case size == 0:
		size = DefaultRing
	}
	errno := syscall.EBADF
	err := s.raw.Control(func(fd uintptr) {
		var r *ring

		if r, errno = mapRing(int(fd), roundRing(size)); errno == 0 {
			s.ring.Store(r)
		}
	})
	if err != nil {
		return os.ErrClosed
	}
	return fail("map", "", errno)
}

// roundRing returns the least power of two that is no less than a size and a page.
func roundRing(size int) int {
	rounded := syscall.Getpagesize()
	for rounded < size {
		rounded *= 2
	}
	return rounded
}

func mapRing(fd, size int) (*ring, syscall.Errno) {
	page := syscall.Getpagesize()
	shown, err := syscall.Mmap(fd, int64(mapRingOffset+page), page+2*size, syscall.PROT_READ,
		syscall.MAP_SHARED)
	if err != nil {
		return nil, err.(syscall.Errno)
	}
	written, err := syscall.Mmap(fd, mapRingOffset, page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_SHARED)
	if err != nil {
		syscall.Munmap(shown)
		return nil, err.(syscall.Errno)
	}
	r := &ring{
		producer: at[abiRingProducer](shown),
		consumer: at[abiRingConsumer](written),
		records:  shown[page:],
		size:     uint64(size),
		mem:      [2][]byte{shown, written},
	}
	runtime.SetFinalizer(r, (*ring).unmap)
	// A ring of another kind, which a later module may have.
	if r.producer.flags&^ringLossless != 0 {
		r.unmap()
		return nil, syscall.EOPNOTSUPP
	}
	return r, 0
}

func (r *ring) unmap() {
	runtime.SetFinalizer(r, nil)
	for _, mem := range r.mem {
		syscall.Munmap(mem)
	}
}

// count returns how many bytes the whole records from a tail on have, of those that fit. The kernel
// may take them back meanwhile, so that there is garbage, but not beyond the ring.
func (r *ring) count(tail, head uint64, room int) int {
	records := r.records[tail&(r.size-1):]
	if head-tail < uint64(room) {
		room = int(head - tail)
	}
	used := 0
	for room-used >= eventSize {
		size := int(atomic.LoadUint32(&at[abiEvent](records[used:]).len))
		if size < eventSize || size > room-used || size%8 != 0 {
			break
		}
		used += size
	}
	return used
}

// read copies as many records as fit, and returns their bytes, or 0 if read(2) must be asked.
func (r *ring) read(fd uintptr, buffer []byte) int {
	for tries := 0; tries < ringTries; tries++ {
		tail := atomic.LoadUint64(&r.consumer.tail)
		head := atomic.LoadUint64(&r.producer.head)
		// Records that only read(2) gives, or a bit that came later; or a spoiled tail.
		if atomic.LoadUint32(&r.producer.attention)&^ringRoom != 0 || head-tail > r.size {
			return 0
		}
		used := r.count(tail, head, len(buffer))
		if used == 0 {
			return 0
		}
		copy(buffer, r.records[tail&(r.size-1):][:used])
		// That keeps its place: the copy ahead of it, the attention behind it.
		if !atomic.CompareAndSwapUint64(&r.consumer.tail, tail, tail+uint64(used)) {
			continue
		}
		if atomic.LoadUint32(&r.producer.attention)&ringRoom != 0 {
			tellOfRoom(fd)
		}
		return used
	}
	return 0
}

// tellOfRoom wakes a publisher that waits for the room that a reader has made.
func tellOfRoom(fd uintptr) {
	poll := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollIn}
	var timeout syscall.Timespec

	syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1,
		uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
}

// Close ends the subscriptions, and a wait for events.
func (s *Subscriber) Close() error {
	err := s.file.Close()
	// The descriptor is one that waits in Go's poller: its Close waits for those who use it.
	// Another call of it ended first.
	if r := s.ring.Load(); r != nil && !errors.Is(err, os.ErrClosed) {
		r.unmap()
	}
	return err
}
