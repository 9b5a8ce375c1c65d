// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Words of 64 bits cannot be loaded at once by all 32-bit machines, so the kernel's memory is
// not mapped there.
const canMap = unsafe.Sizeof(uintptr(0)) == 8

// How mmap(2) makes empty memory in the place of other memory.
const (
	emptyProt  = syscall.PROT_READ
	emptyFlags = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE | syscall.MAP_FIXED
)

// mapping is the memory in which a store keeps its small values a second time, see
// linux/metastore_map.h. The kernel alone writes it, and waits for no reader.
type mapping struct {
	mem     []byte
	header  *abiMapHeader
	shards  unsafe.Pointer
	seed    uint32
	buckets uint32
}

// Map lets [Conn.Get] read small values, to some 460 bytes, from memory that the kernel shares,
// without a system call. All other values, those with an owner or a time to live, and all other
// calls, ask the kernel as before. It works with a store whose [Limits] have Mapped, and with the
// machine's store if the module was loaded with mapped=1. The memory takes address space, as much
// as the store may have bytes, and one more open file, but no descriptor. A second call does nothing.
//
// Errors are syscall.EOPNOTSUPP if the store cannot be mapped or the program has 32 bits,
// syscall.EACCES if c was opened to write only, [ErrUserLimit] if the user has user_files open
// files, syscall.EMFILE or syscall.ENFILE for too many descriptors, syscall.ENODEV if the module is
// retired or too old, syscall.ENOMEM if there is not enough address space, and syscall.EAGAIN if the
// program locks its future memory, see mlockall(2), and RLIMIT_MEMLOCK is too low.
func (c *Conn) Map(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !canMap {
		return fail("map", "", syscall.EOPNOTSUPP)
	}
	if c.mapping.Load() != nil {
		return nil
	}
	m, err := c.newMapping()
	if err != nil {
		return err
	}
	if !c.mapping.CompareAndSwap(nil, m) {
		m.unmap()
	}
	// Close may have come before the mapping.
	if c.raw.Control(func(uintptr) {}) != nil {
		c.endMapping()
		return os.ErrClosed
	}
	return nil
}

func (c *Conn) endMapping() {
	if m := c.mapping.Swap(nil); m != nil {
		m.leave()
	}
}

// newMapping maps the store. The memory keeps the open file that it is of. So that is one of its
// own, and not the one that owns the keys of c.
func (c *Conn) newMapping() (*mapping, error) {
	fd, err := c.reopenFD(syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	m, errno := mapStore(fd)
	return m, fail("map", "", errno)
}

func mapShared(fd int, length uint64) ([]byte, syscall.Errno) {
	mem, err := syscall.Mmap(fd, mapStoreOffset, int(length), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err.(syscall.Errno)
	}
	return mem, 0
}

// mapStore maps a page, which tells how much there is, and then that.
func mapStore(fd int) (*mapping, syscall.Errno) {
	mem, errno := mapShared(fd, uint64(syscall.Getpagesize()))
	if errno != 0 {
		return nil, errno
	}
	header := *at[abiMapHeader](mem)
	syscall.Munmap(mem)
	shardsEnd := uint64(header.shards)*mapGrain + uint64(header.buckets)*uint64(unsafe.Sizeof(abiMapShard{}))
	if header.magic != mapMagic || header.layout != mapLayout || header.buckets == 0 ||
		header.limit > 1<<62 || shardsEnd > header.limit {
		return nil, syscall.EOPNOTSUPP
	}
	if mem, errno = mapShared(fd, header.limit); errno != 0 {
		return nil, errno
	}
	m := &mapping{
		mem:     mem,
		header:  at[abiMapHeader](mem),
		seed:    header.seed,
		buckets: header.buckets,
	}
	m.shards = m.at(header.shards)
	runtime.SetFinalizer(m, (*mapping).unmap)
	return m, 0
}

func (m *mapping) unmap() {
	runtime.SetFinalizer(m, nil)
	syscall.Munmap(m.mem)
}

// leave lets the store go. A goroutine that reads meanwhile finds empty memory, and asks the
// kernel. The address space is free once nobody refers to m; if the kernel has no empty memory, the
// store goes only then.
func (m *mapping) leave() {
	mapEmpty(m.mem)
	runtime.KeepAlive(m)
}

// Close closes the open file. The kernel deletes the keys that it owns, if no other
// process inherited it. Subscribers, followers and locks made of a Conn stay.
func (c *Conn) Close() error {
	err := c.file.Close()
	c.endMapping()
	return err
}
