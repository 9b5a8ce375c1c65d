// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// The reader's side of linux/metastore_map.h, which says what the kernel does meanwhile. All
// that it writes is loaded by package atomic. Those loads stay in their order on every machine,
// which replaces the fences of the header. Its first fence is for what a system call told
// before; in the place of that is what Go itself does at the end of a system call.

// answer is the result of a lookup.
type answer int

const (
	mapFound answer = iota
	mapMiss         // no such key
	mapAsk          // the kernel knows
	mapAgain        // it changed meanwhile
	mapOther        // the entry is another key's
)

// How often to look for a key that changes, before the kernel is asked.
const mapTries = 16

// at returns the address of a grain.
func (m *mapping) at(grain uint32) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(m.header), uintptr(grain)*mapGrain)
}

// get looks a key up. An answer other than mapFound and mapMiss is mapAsk.
func (m *mapping) get(key string) (value []byte, version uint64, how answer) {
	defer runtime.KeepAlive(m)
	if len(key) == 0 || len(key) > KeyMax {
		return nil, 0, mapAsk
	}
	hash := mapHash(key, m.seed)
	for tries := 0; tries < mapTries; tries++ {
		value, version, how = m.try(hash, key)
		if how != mapAgain {
			return value, version, how
		}
	}
	return nil, 0, mapAsk
}

// walk is a walk through the chain of a slot.
type walk struct {
	m     *mapping
	last  uint64 // last byte at which an entry may begin
	slot  *abiMapSlot
	seq   uint32 // its count at the start
	hops  int    // how many entries may follow
	grain uint32 // the next entry, or 0
}

// try looks a key up once.
func (m *mapping) try(hash uint32, key string) (value []byte, version uint64, how answer) {
	w, how := m.begin(hash)
	for how == mapFound {
		var entry *abiMapEntry
		var meta uint64

		entry, meta, how = w.next(hash, key)
		if how != mapFound {
			break
		}
		value, version, how = entry.take(meta, key)
		if how != mapOther {
			break
		}
		w.grain = atomic.LoadUint32(&entry.next)
		w.hops--
		how = mapFound
	}
	return value, version, how
}

// begin finds the slot of a hash.
func (m *mapping) begin(hash uint32) (w walk, how answer) {
	nth := uint64(hash) * uint64(m.buckets) >> 32
	shard := (*abiMapShard)(unsafe.Add(m.shards, uintptr(nth)*unsafe.Sizeof(abiMapShard{})))
	size := atomic.LoadUint64(&m.header.size)
	geometry := atomic.LoadUint64(&shard.geometry)
	index := hash & uint32(geometry>>32)
	if index >= uint32(geometry) {
		index &= uint32(geometry >> 33)
	}
	segment := bits.Len32(index / mapSlots)
	if segment >= mapSegments {
		return walk{}, mapAsk
	}
	at := uint64(atomic.LoadUint32(&shard.segments[segment]))*mapGrain +
		uint64(index)*uint64(unsafe.Sizeof(abiMapSlot{}))
	if at >= size {
		return walk{}, mapAsk
	}
	slot := (*abiMapSlot)(unsafe.Add(unsafe.Pointer(m.header), uintptr(at)))
	seq := atomic.LoadUint32(&slot.seq)
	// From here on a split of the slot shows in its count.
	if atomic.LoadUint64(&shard.geometry) != geometry {
		return walk{}, mapAgain
	}
	return walk{m, size - mapLargest, slot, seq, mapChain, atomic.LoadUint32(&slot.first)}, mapFound
}

// next goes on to the next entry with the hash and the length of the key.
func (w *walk) next(hash uint32, key string) (*abiMapEntry, uint64, answer) {
	want := uint64(hash) | uint64(len(key))<<32
	for ; w.grain != 0; w.hops-- {
		if w.hops == 0 || uint64(w.grain)*mapGrain > w.last {
			return nil, 0, mapAsk
		}
		entry := (*abiMapEntry)(w.m.at(w.grain))
		meta := atomic.LoadUint64(&entry.meta)
		if meta<<24 == want<<24 {
			return entry, meta, mapFound
		}
		w.grain = atomic.LoadUint32(&entry.next)
	}
	// An odd count does not become the even one before it.
	switch {
	case atomic.LoadUint32(&w.slot.seq) != w.seq&^mapOdd:
		return nil, 0, mapAgain
	case w.seq&mapMore != 0:
		return nil, 0, mapAsk
	// Close put empty memory there, see leave.
	case atomic.LoadUint64(&w.m.header.size) == 0:
		return nil, 0, mapAsk
	default:
		return nil, 0, mapMiss
	}
}

// take reads the value of an entry that had meta. While the version is the same nothing
// changes, so meta is loaded again before the version is: behind it, it could be that of a later
// value.
func (e *abiMapEntry) take(meta uint64, key string) (value []byte, version uint64, how answer) {
	var words [mapLargest / 8]uint64

	start := (int(unsafe.Sizeof(*e)) + len(key) + 7) &^ 7
	end := start + int(meta>>48)
	whole := end <= mapLargest
	if !whole { // that, or mapAbsent
		end = start
	}
	version = atomic.LoadUint64(&e.version)
	if int64(version) <= 0 { // busy, or free
		return nil, 0, mapAgain
	}
	for i := int(unsafe.Sizeof(*e)) / 8; i < (end+7)/8; i++ {
		words[i] = atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(e), i*8)))
	}
	if atomic.LoadUint64(&e.meta) != meta || atomic.LoadUint64(&e.version) != version {
		return nil, 0, mapAgain
	}
	bytes := (*[mapLargest]byte)(unsafe.Pointer(&words))
	switch {
	case string(bytes[unsafe.Sizeof(*e):int(unsafe.Sizeof(*e))+len(key)]) != key:
		return nil, 0, mapOther
	case !whole:
		return nil, 0, mapAsk
	default:
		return clone(bytes[start:end]), version, mapFound
	}
}

// mapHash is the hash of a key, lookup3 of Bob Jenkins, as the store has it.
func mapHash(key string, seed uint32) uint32 {
	a := 0xdeadbeef + uint32(len(key)) + seed
	b, c := a, a
	for ; len(key) > 12; key = key[12:] {
		var words [3]uint32

		// In the machine's byte order
		copy((*[12]byte)(unsafe.Pointer(&words))[:], key)
		a += words[0]
		b += words[1]
		c += words[2]
		a = (a - c) ^ bits.RotateLeft32(c, 4)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 6)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 8)
		b += a
		a = (a - c) ^ bits.RotateLeft32(c, 16)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 19)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 4)
		b += a
	}
	a += tail(key, 0)
	b += tail(key, 4)
	c += tail(key, 8)
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}

// tail loads up to 4 bytes from an index on, the first one lowest.
func tail(key string, from int) (word uint32) {
	for i := from; i < len(key) && i < from+4; i++ {
		word |= uint32(key[i]) << (8 * (i - from))
	}
	return word
}
