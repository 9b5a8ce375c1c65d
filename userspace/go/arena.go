// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Free arenas up to this size are kept, this many of them.
const (
	arenaKeepSize = 1 << 20
	arenaKeep     = 16
)

// The smallest arena: a call with a key and a value of the default max_value.
const arenaMin = 80 << 10

// arena is memory for the arguments and results of one call. The kernel gets addresses
// in structures, where Go's garbage collector would neither see nor update them. So
// this memory is not Go's: it is mapped, and stays where it is until it is unmapped.
// Pages that a call does not touch take no memory.
type arena struct {
	mem  []byte
	used int
}

var arenas = make(chan *arena, arenaKeep)

// newArena returns an arena with room for size bytes and some small structures and
// keys, to be released by free.
func newArena(size int) (*arena, error) {
	size += 4096
	select {
	case a := <-arenas:
		if len(a.mem) >= size {
			a.used = 0
			return a, nil
		}
		a.unmap()
	default:
	}
	if size < arenaMin {
		size = arenaMin
	}
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	return &arena{mem: mem}, nil
}

func (a *arena) free() {
	if len(a.mem) <= arenaKeepSize {
		select {
		case arenas <- a:
			return
		default:
		}
	}
	a.unmap()
}

func (a *arena) unmap() {
	if err := syscall.Munmap(a.mem); err != nil {
		panic(fmt.Sprintf("metastore: munmap: %v", err))
	}
}

// room returns the next size bytes, aligned to 8, with what an earlier call left there.
func (a *arena) room(size int) []byte {
	start := a.used
	a.used = (start + size + 7) &^ 7
	return a.mem[start : start+size : start+size]
}

// result is room for what the kernel copies out. It does that when a change is made
// already, so the pages are made to exist before.
func (a *arena) result(size int) []byte {
	b := a.room(size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 0
	}
	if size > 0 {
		b[size-1] = 0
	}
	return b
}

// string copies a key into the arena and returns its address.
func (a *arena) string(s string) uint64 {
	b := a.room(len(s))
	copy(b, s)
	return address(b)
}

// bytes copies a value into the arena and returns its address.
func (a *arena) bytes(v []byte) uint64 {
	b := a.room(len(v))
	copy(b, v)
	return address(b)
}

// address returns the address of memory of an arena.
func address(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(&b[0])))
}

// structs returns n zeroed structures in the arena.
func structs[T any](a *arena, n int) []T {
	var zero T
	b := a.room(n * int(unsafe.Sizeof(zero)))
	s := unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
	for i := range s {
		s[i] = zero
	}
	return s
}

// structure returns a zeroed structure in the arena.
func structure[T any](a *arena) *T {
	return &structs[T](a, 1)[0]
}

// at returns the structure that begins at b[0], which is aligned to 8.
func at[T any](b []byte) *T {
	_ = b[unsafe.Sizeof(*new(T))-1]
	return (*T)(unsafe.Pointer(&b[0]))
}
