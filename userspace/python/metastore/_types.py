# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arguments and results of the calls.

Times of writes are in ns of CLOCK_REALTIME, as of time.time_ns(). A ``ttl`` is the rest of
a time to live in seconds, None if that is unlimited. ``pid`` and ``uid`` are the process
that wrote the value and its effective user, as the kernel saw them; ``pid`` is 0 if the
process has no number in the caller's PID namespace.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, AnyStr, Dict, Generic, NamedTuple, Optional, Union

from . import _lib

if TYPE_CHECKING:
    from ._subscriber import Subscription

Seconds = Union[float, timedelta]


class Owner(IntEnum):
    """Owner of a value: no open store, this one, or another one."""

    NONE = 0
    SELF = 1
    OTHER = 2


class Events(IntFlag):
    """Mask of the changes that a subscriber wants. BY_* select causes of DELETED."""

    PUBLISHED = 1 << 0
    SET = 1 << 1
    DELETED = 1 << 2
    BY_DELETE = 1 << 3
    BY_FLUSH = 1 << 4
    BY_EXPIRY = 1 << 5
    BY_OWNER = 1 << 6


#: Every change.
ALL_EVENTS = Events.PUBLISHED | Events.SET | Events.DELETED


class EventType(IntEnum):
    """Type of an event."""

    PUBLISHED = 1 << 0
    SET = 1 << 1
    DELETED = 1 << 2
    #: Value of a snapshot.
    SNAPSHOT = 1 << 12
    #: End of a snapshot.
    SNAPSHOT_END = 1 << 13
    #: The subscription lost ``count`` events since its previous LOST.
    LOST = 1 << 14
    #: A flush removed ``count`` subscriptions.
    FLUSHED = 1 << 15


class EventFlags(IntFlag):
    """Details of an event."""

    #: DELETED: by flush().
    FLUSH = 1 << 0
    #: DELETED: the time to live expired.
    EXPIRED = 1 << 1
    #: DELETED: the owner was closed; see ``Event.end``.
    OWNER = 1 << 2
    #: ``steal`` took the value from its owner.
    STOLEN = 1 << 3
    #: The next event is of the same atomic batch.
    MORE = 1 << 4
    #: The value is left out, as the subscription asked.
    NO_VALUE = 1 << 5


class Features(IntFlag):
    """Additions to the module since its first version."""

    CONDITIONS = 1 << 0
    OWNERS = 1 << 1
    TTL = 1 << 2
    BATCH = 1 << 3
    PRIVATE = 1 << 4
    DELIVERY = 1 << 5
    WAIT = 1 << 6
    TOUCH = 1 << 7
    PREVIOUS = 1 << 8
    DETAILS = 1 << 9
    RESYNC = 1 << 10
    USERS = 1 << 11
    MAP_RING = 1 << 12
    MAP_STORE = 1 << 13


class Policy(IntEnum):
    """Fate of an event for which a queue has no room."""

    #: The queue drops its oldest events for it.
    DROP_OLDEST = 0
    #: ``publish(wait=True)`` waits for room; otherwise the new event is lost.
    LOSSLESS = 1


class End(IntEnum):
    """End of an owner: it closed the store or the cause is unknown, it exited, or a
    signal killed it."""

    CLOSED = 0
    EXITED = 1
    KILLED = 2


class UserKind(IntEnum):
    """Kinds of what a user can use."""

    FILES = 0
    SUBSCRIPTIONS = 1
    QUEUE_BYTES = 2
    STORES = 3
    STORE_BYTES = 4
    OWNED_KEYS = 5
    WAITING = 6
    KEYS = 7
    BYTES = 8


@dataclass(frozen=True)
class Entry(Generic[AnyStr]):
    """A key, its value, and facts about the value, all of one moment."""

    key: AnyStr
    value: AnyStr
    version: int
    time_ns: int
    ttl: Optional[float]
    pid: int
    uid: int
    owner: Owner


@dataclass(frozen=True)
class Listed(Generic[AnyStr]):
    """A key of a list: the length of its value in bytes, and the value's version."""

    key: AnyStr
    size: int
    version: int


@dataclass(frozen=True)
class Previous(Generic[AnyStr]):
    """The value that a change replaced or removed."""

    value: AnyStr
    version: int
    owner: Owner


@dataclass(frozen=True)
class Published(Generic[AnyStr]):
    """Answer of publish()."""

    #: Version of the stored value.
    version: int
    #: Number of subscriptions whose queue took the event.
    queues: int
    #: With ``previous=True``: the value that was replaced, None if there was none.
    previous: Optional[Previous[AnyStr]]


class Stat(NamedTuple):
    """Facts about a key."""

    version: int
    #: Length of the value in bytes.
    size: int
    time_ns: int
    ttl: Optional[float]
    pid: int
    uid: int
    owner: Owner
    #: Number of subscriptions to the key and to its prefixes.
    subscribers: int
    bucket: int


class Flushed(NamedTuple):
    """Numbers of values and subscriptions that flush() removed."""

    values: int
    subscriptions: int


class Info(NamedTuple):
    """Limits and counters of a store; capacities of queues are those of an open store."""

    features: Features
    buckets: int
    key_max: int
    max_value: int
    queue_len: int
    queue_bytes: int
    max_subscriptions: int
    max_keys: int
    max_bytes: int
    keys: int
    bytes: int
    subscriptions: int
    private_bytes: int


class Use(NamedTuple):
    """Use of one kind by a user, the limit, and how many calls it refused."""

    use: int
    limit: int
    refused: int


class UserInfo(NamedTuple):
    """Use and limits of a user, by kind."""

    #: Inode number of /proc/PID/ns/user.
    namespace: int
    uid: int
    #: Kind of the user's last call that failed with EDQUOT.
    last_refused: Optional[int]
    kinds: Dict[int, Use]


class QueueInfo(NamedTuple):
    """State of an event queue.

    matched = delivered + conflated + lost + discarded + pending
    """

    policy: Policy
    max_len: int
    max_bytes: int
    len: int
    bytes: int
    high_len: int
    subscriptions: int
    matched: int
    delivered: int
    conflated: int
    lost: int
    pending: int
    discarded: int
    #: Age of the oldest waiting event in seconds.
    oldest: float


class SubscriptionInfo(NamedTuple):
    """Counters of a subscription; they add up as in QueueInfo."""

    events: Events
    matched: int
    delivered: int
    conflated: int
    lost: int
    pending: int
    discarded: int


class OwnerEnd(NamedTuple):
    """How the owner of a deleted key ended."""

    how: End
    #: Process that held the last descriptor; 0: it has no number here.
    pid: int
    #: Exit status, or number of the signal.
    code: int


@dataclass(frozen=True)
class Event(Generic[AnyStr]):
    """One change that a subscriber reads.

    In LOST, FLUSHED and SNAPSHOT_END the key and the value are empty.
    """

    type: EventType
    key: AnyStr
    value: AnyStr
    version: int
    time_ns: int
    pid: int
    uid: int
    flags: EventFlags
    #: LOST and FLUSHED: number of events or subscriptions.
    count: int
    #: DELETED with EventFlags.OWNER: how the owner ended.
    end: Optional[OwnerEnd]
    #: Subscription of the event; None in FLUSHED.
    subscription: Optional["Subscription[AnyStr]"]


@dataclass(frozen=True)
class Change(Generic[AnyStr]):
    """One change that a follower tells. ``value`` is the removed one if ``deleted``."""

    key: AnyStr
    value: AnyStr
    version: int
    deleted: bool
    #: The event; None for a deletion found by comparison after a loss.
    event: Optional[Event[AnyStr]]


def milliseconds(time_to_live: Seconds) -> int:
    """Return a time in ms, rounded up. 0 means unlimited below, so it is refused here."""
    if isinstance(time_to_live, timedelta):
        time_to_live = time_to_live.total_seconds()
    if not 0 < time_to_live <= 2**40 / 1000:
        raise ValueError(f"ttl {time_to_live!r}: must be above 0 and at most 2**40 ms, or None")
    return math.ceil(round(time_to_live * 1000, 3))


def rest(ttl_ms: int) -> Optional[float]:
    """Return a time to live as told."""
    return ttl_ms / 1000 if ttl_ms else None


class Deadline:
    """End of a wait of some seconds; None: of one without end."""

    def __init__(self, timeout: Optional[float]) -> None:
        if timeout == math.inf:
            timeout = None
        self._end = None if timeout is None else time.monotonic() + timeout

    def ms(self) -> Optional[int]:
        """Return the rest in ms, rounded up and never negative; None: no end."""
        if self._end is None:
            return None
        return max(0, math.ceil((self._end - time.monotonic()) * 1000))


class Codec(Generic[AnyStr]):
    """Bytes of keys and values as the program wants to see them.

    Text is UTF-8. Bytes that are none become lone surrogates (PEP 383), and come back
    from these as they were.
    """

    def __init__(self, text: bool) -> None:
        self.text = text

    def encode(self, value: Any, what: str) -> bytes:
        if self.text:
            if isinstance(value, str):
                return value.encode("utf-8", "surrogateescape")
        elif isinstance(value, bytes):
            return value
        elif isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        wanted = "str" if self.text else "bytes (for str use Store(text=True))"
        raise TypeError(f"{what} must be {wanted}, not {type(value).__name__}")

    def decode(self, value: bytes) -> AnyStr:
        answer: Any = value.decode("utf-8", "surrogateescape") if self.text else value
        return answer  # type: ignore[no-any-return]


def write_options(
    *,
    create: bool = False,
    replace: bool = False,
    if_version: Optional[int] = None,
    owned: bool = False,
    steal: bool = False,
    ttl: Optional[Seconds] = None,
    keep_ttl: bool = False,
) -> _lib.Options:
    """Return the conditions of a change as the library takes them."""
    flags = _lib.Write(0)
    if create:
        flags |= _lib.Write.CREATE
    if replace:
        flags |= _lib.Write.REPLACE
    if if_version is not None:
        flags |= _lib.Write.IF_VERSION
    if owned:
        flags |= _lib.Write.OWNED
    if steal:
        flags |= _lib.Write.STEAL
    if keep_ttl:
        flags |= _lib.Write.KEEP_TTL
    return _lib.Options(
        flags=int(flags),
        version=if_version or 0,
        ttl_ms=0 if ttl is None else milliseconds(ttl),
    )
