// SPDX-License-Identifier: LGPL-2.1-or-later

package metastore

import (
	"syscall"
	"time"
	"unsafe"
)

// EventType is a kind of event, and in [Events] a mask of the kinds that a subscriber
// asks for.
type EventType uint32

// Kinds of events that a subscriber asks for.
const (
	EventPublished EventType = 0x0001 // stored by Publish
	EventSet       EventType = 0x0002 // stored by Set
	EventDeleted   EventType = 0x0004 // removed, for whatever cause

	// Causes of a removal, to be asked for in place of EventDeleted. The type of the
	// event is EventDeleted.
	EventByDelete EventType = 0x0008
	EventByFlush  EventType = 0x0010
	EventByExpiry EventType = 0x0020
	EventByOwner  EventType = 0x0040

	// EventChanges asks for all changes.
	EventChanges = EventPublished | EventSet | EventDeleted
)

// Kinds of events that come unasked.
const (
	EventSnapshot    EventType = 0x1000 // a value of a snapshot
	EventSnapshotEnd EventType = 0x2000 // the end of a snapshot
	EventLost        EventType = 0x4000 // Count events of this subscription were lost
	EventFlushed     EventType = 0x8000 // Count subscriptions were removed by a flush
)

var eventNames = map[EventType]string{
	EventPublished: "published", EventSet: "set", EventDeleted: "deleted",
	EventSnapshot: "snapshot", EventSnapshotEnd: "snapshot end", EventLost: "lost",
	EventFlushed: "flushed",
}

func (t EventType) String() string {
	if name, ok := eventNames[t]; ok {
		return name
	}
	return "event"
}

// EventFlags say more about an event.
type EventFlags uint16

// Flags of events.
const (
	EventFlush     EventFlags = 0x0001 // deleted by a flush
	EventExpired   EventFlags = 0x0002 // deleted because its time to live was over
	EventOwnerGone EventFlags = 0x0004 // deleted because its owner ended
	EventStolen    EventFlags = 0x0008 // taken from its owner
	EventMore      EventFlags = 0x0010 // the next event is of the same atomic batch
	EventNoValue   EventFlags = 0x0020 // the value is left out
)

// Event is one thing that happened to a key.
type Event struct {
	Type    EventType
	Flags   EventFlags
	Cookie  uint64    // of the subscription
	Key     string    // empty in EventLost, EventFlushed and EventSnapshotEnd
	Value   []byte    // of a deletion: what was removed
	Version uint64    // of the change
	Count   uint64    // EventLost: events; EventFlushed: subscriptions
	Time    time.Time // when the value was written
	PID     int       // process that wrote it
	UID     uint32    // user of that process
	End     *OwnerEnd // with EventOwnerGone
}

// How an owner ended.
const (
	EndClosed = 0 // it closed its file, or the cause is unknown
	EndExited = 1 // it exited
	EndKilled = 2 // a signal killed it
)

// OwnerEnd is the end of an open file that owned a value.
type OwnerEnd struct {
	PID  int // process that had the last descriptor, 0: unknown
	How  int // EndClosed, EndExited or EndKilled
	Code int // exit status, or number of the signal
}

// eventSize is the size of a record without a key and a value.
const eventSize = int(unsafe.Sizeof(abiEvent{}))

// decode reads the first record of b and returns its length.
func decode(b []byte) (Event, int, error) {
	bad := fail("read", "", syscall.EPROTO)
	header := eventSize
	if len(b) < header {
		return Event{}, 0, bad
	}
	r := at[abiEvent](b)
	if r.flags&uint16(EventOwnerGone) != 0 {
		header += int(unsafe.Sizeof(abiOwnerEnd{}))
	}
	key := uint64(r.headerLen)
	value := key + uint64(r.keyLen)
	end := value + uint64(r.valueLen)
	if uint64(r.len) > uint64(len(b)) || r.len%8 != 0 || key < uint64(header) || end > uint64(r.len) {
		return Event{}, 0, bad
	}
	e := Event{
		Type:   EventType(r.typ),
		Flags:  EventFlags(r.flags),
		Cookie: r.cookie,
		Key:    string(b[key:value]),
		Value:  clone(b[value:end]),
		Time:   moment(r.time),
		PID:    int(r.tgid),
		UID:    r.uid,
	}
	if e.Type == EventLost || e.Type == EventFlushed {
		e.Count = r.version
	} else {
		e.Version = r.version
	}
	if e.Flags&EventOwnerGone != 0 {
		o := at[abiOwnerEnd](b[unsafe.Sizeof(*r):])
		e.End = &OwnerEnd{PID: int(o.tgid), How: int(o.how), Code: int(o.code)}
	}
	return e, int(r.len), nil
}
