// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import "unsafe"

// The structures of uapi/linux/metastore.h and metastore_map.h. Every member stands at a
// multiple of its size, so that the layout is the same on 32-bit machines. TestLayout
// compares each size and offset to what a C compiler says. Addresses are of an arena.

type abiPrevious struct {
	value   uint64
	version uint64
	len     uint32
	owner   uint32
}

type abiSet struct {
	key      uint64
	value    uint64
	keyLen   uint32
	valueLen uint32
	flags    uint32
	queues   uint32
	version  uint64
	ttl      uint64
	timeout  uint32
	deadline uint32
	previous abiPrevious
}

type abiGet struct {
	key      uint64
	value    uint64
	keyLen   uint32
	valueLen uint32
	flags    uint32
	owner    uint32
	version  uint64
	ttl      uint64
	time     uint64
	tgid     int32
	uid      uint32
}

type abiStat struct {
	key         uint64
	keyLen      uint32
	flags       uint32
	version     uint64
	time        uint64
	valueLen    uint32
	tgid        int32
	uid         uint32
	subscribers uint32
	bucket      uint32
	reserved    uint32
	ttl         uint64
	owner       uint32
	reserved2   uint32
}

type abiDelete struct {
	key      uint64
	keyLen   uint32
	flags    uint32
	version  uint64
	previous abiPrevious
}

type abiTouch struct {
	key     uint64
	keyLen  uint32
	flags   uint32
	version uint64
	ttl     uint64
}

type abiFlush struct {
	prefix        uint64
	prefixLen     uint32
	bucket        uint32
	flags         uint32
	reserved      uint32
	values        uint64
	subscriptions uint64
}

type abiSubscribe struct {
	key      uint64
	keyLen   uint32
	events   uint32
	cookie   uint64
	flags    uint32
	reserved uint32
	version  uint64
}

type abiUnsubscribe struct {
	key    uint64
	keyLen uint32
	flags  uint32
}

type abiSubscribers struct {
	key         uint64
	keyLen      uint32
	flags       uint32
	subscribers uint32
	reserved    uint32
}

type abiKeyBucket struct {
	key     uint64
	keyLen  uint32
	flags   uint32
	bucket  uint32
	buckets uint32
}

type abiListEntry struct {
	len       uint32
	headerLen uint16
	keyLen    uint16
	valueLen  uint32
	flags     uint32
	version   uint64
}

type abiListDetails struct {
	time     uint64
	ttl      uint64
	tgid     int32
	uid      uint32
	owner    uint32
	reserved uint32
}

type abiList struct {
	cursor    uint64
	prefix    uint64
	buffer    uint64
	cursorLen uint32
	prefixLen uint32
	bufferLen uint32
	bucket    uint32
	flags     uint32
	entries   uint32
}

type abiInfo struct {
	bucket           uint32
	flags            uint32
	features         uint64
	buckets          uint32
	keyMax           uint32
	maxValue         uint32
	queueLen         uint32
	queueBytes       uint32
	maxSubscriptions uint32
	maxKeys          uint64
	maxBytes         uint64
	keys             uint64
	bytes            uint64
	subscriptions    uint64
	privateBytes     uint64
}

type abiUserKind struct {
	use     uint64
	limit   uint64
	refused uint64
}

const userKinds = 9

type abiUserInfo struct {
	flags       uint32
	ns          uint32
	uid         uint32
	lastRefused uint32
	kinds       [userKinds]abiUserKind
}

type abiOp struct {
	op       uint32
	result   int32
	key      uint64
	value    uint64
	keyLen   uint32
	valueLen uint32
	flags    uint32
	queues   uint32 // of a get: the owner
	version  uint64
	ttl      uint64
	previous abiPrevious
}

type abiBatch struct {
	ops    uint64
	nr     uint32
	opSize uint32
	flags  uint32
	failed uint32
}

type abiCreate struct {
	flags      uint32
	openFlags  uint32
	buckets    uint32
	maxValue   uint32
	queueLen   uint32
	queueBytes uint32
	maxKeys    uint64
	maxBytes   uint64
}

type abiOpen struct {
	flags     uint32
	openFlags uint32
}

type abiEvent struct {
	len       uint32
	headerLen uint16
	typ       uint16
	cookie    uint64
	version   uint64 // of LOST and FLUSHED: the count
	time      uint64
	valueLen  uint32
	keyLen    uint16
	flags     uint16
	tgid      int32
	uid       uint32
}

type abiOwnerEnd struct {
	tgid int32
	how  uint16
	code uint16
}

type abiQueueInfo struct {
	flags         uint32
	policy        uint32
	maxLen        uint32
	maxBytes      uint32
	len           uint32
	bytes         uint32
	highLen       uint32
	subscriptions uint32
	matched       uint64
	delivered     uint64
	conflated     uint64
	lost          uint64
	pending       uint64
	oldest        uint64
	discarded     uint64
}

type abiSubscriptionInfo struct {
	key       uint64
	keyLen    uint32
	flags     uint32
	cookie    uint64
	events    uint32
	reserved  uint32
	matched   uint64
	delivered uint64
	conflated uint64
	lost      uint64
	pending   uint64
	discarded uint64
}

// The structures of mapped memory. Those that are in it have more behind them.

type abiMapHeader struct {
	magic    uint32
	layout   uint32
	seed     uint32
	buckets  uint32
	shards   uint32
	reserved uint32
	size     uint64
	limit    uint64
}

type abiMapSlot struct {
	seq   uint32
	first uint32
}

type abiMapShard struct {
	geometry uint64
	reserved uint64
	segments [mapSegments]uint32
	slots    [mapSlots]abiMapSlot
}

type abiMapEntry struct {
	version uint64
	meta    uint64
	next    uint32
	own     uint32
}

type abiRingConsumer struct {
	tail uint64
}

type abiRingProducer struct {
	head      uint64
	refused   uint64
	size      uint32
	attention uint32
	flags     uint32
	reserved  uint32
}

// Commands: iocReadWrite and the magic number of metastore, as in ioctl(2).
const (
	iocInfo         = iocReadWrite | 0xe600 | 0x00 | uint32(unsafe.Sizeof(abiInfo{}))<<16
	iocGet          = iocReadWrite | 0xe600 | 0x01 | uint32(unsafe.Sizeof(abiGet{}))<<16
	iocSet          = iocReadWrite | 0xe600 | 0x02 | uint32(unsafe.Sizeof(abiSet{}))<<16
	iocDelete       = iocReadWrite | 0xe600 | 0x03 | uint32(unsafe.Sizeof(abiDelete{}))<<16
	iocPublish      = iocReadWrite | 0xe600 | 0x04 | uint32(unsafe.Sizeof(abiSet{}))<<16
	iocSubscribe    = iocReadWrite | 0xe600 | 0x05 | uint32(unsafe.Sizeof(abiSubscribe{}))<<16
	iocUnsubscribe  = iocReadWrite | 0xe600 | 0x06 | uint32(unsafe.Sizeof(abiUnsubscribe{}))<<16
	iocSubscribers  = iocReadWrite | 0xe600 | 0x07 | uint32(unsafe.Sizeof(abiSubscribers{}))<<16
	iocBucket       = iocReadWrite | 0xe600 | 0x08 | uint32(unsafe.Sizeof(abiKeyBucket{}))<<16
	iocStat         = iocReadWrite | 0xe600 | 0x09 | uint32(unsafe.Sizeof(abiStat{}))<<16
	iocList         = iocReadWrite | 0xe600 | 0x0a | uint32(unsafe.Sizeof(abiList{}))<<16
	iocFlush        = iocReadWrite | 0xe600 | 0x0b | uint32(unsafe.Sizeof(abiFlush{}))<<16
	iocBatch        = iocReadWrite | 0xe600 | 0x0c | uint32(unsafe.Sizeof(abiBatch{}))<<16
	iocCreate       = iocReadWrite | 0xe600 | 0x0d | uint32(unsafe.Sizeof(abiCreate{}))<<16
	iocOpen         = iocReadWrite | 0xe600 | 0x0e | uint32(unsafe.Sizeof(abiOpen{}))<<16
	iocQueue        = iocReadWrite | 0xe600 | 0x0f | uint32(unsafe.Sizeof(abiQueueInfo{}))<<16
	iocSubscription = iocReadWrite | 0xe600 | 0x10 | uint32(unsafe.Sizeof(abiSubscriptionInfo{}))<<16
	iocTouch        = iocReadWrite | 0xe600 | 0x11 | uint32(unsafe.Sizeof(abiTouch{}))<<16
	iocUser         = iocReadWrite | 0xe600 | 0x12 | uint32(unsafe.Sizeof(abiUserInfo{}))<<16
)

// Flags and numbers of the interface that have no name of their own in Go.
const (
	anyBucket = 0xffffffff

	flagCreate    = 0x0001
	flagReplace   = 0x0002
	flagIfVersion = 0x0004
	flagOwned     = 0x0008
	flagSteal     = 0x0010
	flagWait      = 0x0020
	flagPrevious  = 0x0040
	flagKeepTTL   = 0x0080

	waitForever = 0xffffffff
	ttlMax      = 1 << 40 // ms

	getInfo = 0x0001

	flushSubscriptions = 0x0001
	flushSteal         = 0x0002

	subscribePrefix   = 0x0001
	subscribeSnapshot = 0x0002
	subscribeNewer    = 0x0004
	subscribeLatest   = 0x0008
	subscribeNoValue  = 0x0010
	subscribeResync   = 0x0020
	subscribeDiscard  = 0x0040

	listValues  = 0x0001
	listNoValue = 0x0001
	listMin     = 512

	opGet     = 1
	opSet     = 2
	opDelete  = 3
	opPublish = 4
	opTouch   = 5

	batchAtomic = 0x0001

	queueSetLen    = 0x0001
	queueSetBytes  = 0x0002
	queueSetPolicy = 0x0004

	ownerNone = 0

	createMapped = 0x0001

	mapStoreOffset = 0x100000000
	mapMagic       = 0x504d534d
	mapLayout      = 1
	mapGrain       = 16
	mapLargest     = 512
	mapChain       = 32
	mapSlots       = 16
	mapSegments    = 28
	mapOdd         = 1
	mapMore        = 2

	mapRingOffset = 0
	ringMax       = 0x4000000
	ringRoom      = 0x0002
	ringLossless  = 0x0001
)
