# SPDX-License-Identifier: LGPL-2.1-or-later
"""Subscribers: changes of keys as events."""

from __future__ import annotations

import ctypes
import errno
import threading
import weakref
from collections import deque
from ctypes import byref
from typing import Any, AnyStr, Deque, Dict, Generic, List, Optional

from ._lib import Handle, QueueSet, Subscribe, call, lib, text_of
from ._lib import QueueInfo as _QueueInfo
from ._lib import QueueOptions, SubscribeOptions
from ._lib import SubscriptionInfo as _SubscriptionInfo
from ._types import (
    ALL_EVENTS,
    Codec,
    End,
    Event,
    EventFlags,
    Events,
    EventType,
    OwnerEnd,
    Policy,
    QueueInfo,
    SubscriptionInfo,
)
from ._wait import Stream, Waiter
from .errors import Error

_KNOWN_TYPES = {int(kind) for kind in EventType}


class Subscription(Generic[AnyStr]):
    """A subscriber's subscription to one key, or to one prefix if ``is_prefix``."""

    def __init__(
        self, subscriber: "Subscriber[AnyStr]", key: AnyStr, is_prefix: bool, cookie: int
    ) -> None:
        self.key: AnyStr = key
        self.is_prefix: bool = is_prefix
        self.cookie: int = cookie
        # So that a subscriber that nothing else refers to ends at once.
        self._weak: "weakref.ref[Subscriber[AnyStr]]" = weakref.ref(subscriber)
        self._bytes: bytes = subscriber._codec.encode(key, "key")

    def __repr__(self) -> str:
        return f"<metastore.Subscription {'prefix ' if self.is_prefix else ''}{self.key!r}>"

    def _subscriber(self) -> "Subscriber[AnyStr]":
        subscriber: Optional[Subscriber[AnyStr]] = self._weak()
        if subscriber is None:
            raise ValueError("the subscriber is closed")
        return subscriber

    def _call(self, function: Any, flags: int, *more: Any) -> None:
        if self.is_prefix:
            flags |= Subscribe.PREFIX
        handle = self._subscriber()._held()
        call(function, handle, self._bytes, len(self._bytes), flags, *more, key=self.key)

    def info(self) -> SubscriptionInfo:
        """Return the counters. Raises AbsentError if the subscription has ended."""
        info = _SubscriptionInfo()
        self._call(lib.subscription_info, 0, byref(info))
        return SubscriptionInfo(
            Events(info.events),
            info.matched,
            info.delivered,
            info.conflated,
            info.lost,
            info.pending,
            info.discarded,
        )

    def resync(self) -> None:
        """Begin anew, after a loss: discard the events that wait, and take a snapshot.

        The present values follow, each in an event SNAPSHOT, then SNAPSHOT_END. A key that
        was deleted meanwhile is not among them: at SNAPSHOT_END drop all keys that no event
        named since this call. ``Store.follow()`` does all of this.
        """
        subscriber = self._subscriber()
        with subscriber._reading:
            self._call(lib.resync, 0)
            subscriber._forget(self)

    def end(self, *, discard: bool = False) -> None:
        """End the subscription. Events that wait are still read, unless @discard."""
        subscriber = self._subscriber()
        with subscriber._reading:
            self._call(lib.unsubscribe_with, Subscribe.DISCARD if discard else 0)
            if discard:
                subscriber._forget(self)


class Subscriber(Waiter[Event[AnyStr]], Stream[Event[AnyStr]], Generic[AnyStr]):
    """Event queue with subscriptions, made by ``Store.subscribe()``.

    Iterate over it, with ``for`` or on asyncio with ``async for``; the iteration ends when
    no event came for ``timeout`` seconds (None: never). It is a context manager.

    Any number of threads, and of tasks of one event loop, may read one subscriber: each
    event goes to one of them. After fork() the processes share it in the same way; make
    it with ``buffer=1``, so that none takes more events than it handles. close() wakes
    the tasks that wait, but no thread in a wait.
    """

    def __init__(
        self,
        handle: Handle,
        codec: Codec[AnyStr],
        *,
        timeout: Optional[float],
        buffer: int,
        once: bool,
    ) -> None:
        super().__init__()
        self.timeout = timeout
        self._store: Optional[Handle] = handle
        self._codec: Codec[AnyStr] = codec
        self._buffer = Handle(call(lib.event_buffer_new, buffer), lib.event_buffer_free)
        self._versions = Handle(call(lib.versions_new, 0), lib.versions_free) if once else None
        self._reading = threading.RLock()
        self._read: Deque[Event[AnyStr]] = deque()
        self._subscriptions: Dict[int, Subscription[AnyStr]] = {}

    def __repr__(self) -> str:
        return f"<metastore.Subscriber {'closed' if self.closed else self.fileno()}>"

    def __enter__(self) -> "Subscriber[AnyStr]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._store is None

    def close(self) -> None:
        """End all subscriptions."""
        handle, self._store = self._store, None
        if handle is not None:
            handle.end(lib.fd(handle))
            self._wake_closed()

    def _source(self) -> Waiter[Event[AnyStr]]:
        return self

    def fileno(self) -> int:
        """Return the descriptor, readable when an event waits in the kernel.

        A program with its own poll loop calls ``read(0)`` until that returns no events.
        """
        return int(lib.fd(self._held()))

    def _held(self) -> Handle:
        if self._store is None:
            raise ValueError("the subscriber is closed")
        return self._store

    def add(
        self,
        key: Optional[AnyStr] = None,
        *,
        prefix: Optional[AnyStr] = None,
        events: Events = ALL_EVENTS,
        snapshot: bool = False,
        newer: Optional[int] = None,
        latest: bool = False,
        no_value: bool = False,
    ) -> Subscription[AnyStr]:
        """Subscribe to a key as well, or to all keys with a prefix, which may be empty.

        The options are those of ``Store.subscribe()``. Raises ExistsError if it is
        subscribed to already; LimitError: ENOBUFS: too many subscriptions, or no room to
        reserve for @latest; EDQUOT: the user has too many; BusyError: the first @latest of a
        prefix, and more than 1,024 events wait.
        """
        if (key is None) == (prefix is None):
            raise TypeError("either a key or a prefix")
        name = prefix if key is None else key
        assert name is not None
        flags = Subscribe(0)
        if prefix is not None:
            flags |= Subscribe.PREFIX
        if snapshot or newer is not None:
            flags |= Subscribe.SNAPSHOT
        if newer is not None:
            flags |= Subscribe.NEWER
        if latest:
            flags |= Subscribe.LATEST
        if no_value:
            flags |= Subscribe.NO_VALUE
        with self._reading:
            cookie = len(self._subscriptions) + 1
            subscription = Subscription(self, name, prefix is not None, cookie)
            # Known before its first event can be read.
            self._subscriptions[cookie] = subscription
            options = SubscribeOptions(
                flags=int(flags), events=int(events), cookie=cookie, version=newer or 0
            )
            encoded = subscription._bytes
            try:
                handle = self._held()
                call(lib.subscribe_with, handle, encoded, len(encoded), byref(options), key=name)
            except BaseException:
                del self._subscriptions[cookie]
                raise
        return subscription

    @property
    def subscriptions(self) -> List[Subscription[AnyStr]]:
        """All subscriptions that were made, also those that have ended."""
        return list(self._subscriptions.values())

    def set_queue(
        self,
        *,
        lossless: Optional[bool] = None,
        max_len: Optional[int] = None,
        max_bytes: Optional[int] = None,
    ) -> None:
        """Change the queue's policy, or its capacity in events and in bytes.

        Raises ArgumentError for a capacity out of range; AccessError: above 16 times the
        store's; BusyError: too many events wait, or map_events() was called; LimitError: less
        than twice what ``latest`` reserved, or too much for the user.
        """
        options = QueueOptions()
        if lossless is not None:
            options.which |= QueueSet.POLICY
            options.policy = Policy.LOSSLESS if lossless else Policy.DROP_OLDEST
        if max_len is not None:
            options.which |= QueueSet.LEN
            options.max_len = max_len
        if max_bytes is not None:
            options.which |= QueueSet.BYTES
            options.max_bytes = max_bytes
        call(lib.queue_set, self._held(), byref(options))

    def map_events(self, size: int = 0) -> None:
        """Read events from memory that the module shares, from now on.

        It has room for @size bytes of them, at most 64 MiB, which are rounded up to a power of
        two; 0: 256 KiB. What is not there, such as losses, snapshots, large values, is read as
        before, all in the same order. The queue cannot be changed any more, so call set_queue(),
        or give ``Store.subscribe()`` its options, before. After close() the subscriptions end
        at once, or with the last call in another thread and the last traceback of an error
        that have to do with them.

        Raises ArgumentError: @size is too large; AccessError: the store is not open to read
        and write; BusyError: called before; LimitError: the user's queues have too much;
        UnavailableError: the module is retired or too old; Error with EOPNOTSUPP: in a program
        of 32 bits, or in a user or PID namespace other than the initial one. A program that
        fails here goes on.
        """
        with self._reading:
            call(lib.map_events, self._held(), size)

    def info(self) -> QueueInfo:
        """Return the books of the queue."""
        return queue_info(self._held())

    def next(self, timeout: Optional[float] = None) -> Optional[Event[AnyStr]]:
        """Return the next event; None if none comes within @timeout seconds."""
        return self._wait(timeout)

    def read(self, timeout: Optional[float] = None) -> List[Event[AnyStr]]:
        """Return all events that were read in one go: none if none came in time."""
        first = self._wait(timeout)
        events = [] if first is None else [first]
        with self._reading:
            events.extend(self._read)
            self._read.clear()
        return events

    def _try(self) -> Optional[Event[AnyStr]]:
        with self._reading:
            handle = self._held()
            while not self._read:
                if not self._fill(handle):
                    return None
            return self._read.popleft()

    def _fill(self, handle: Handle) -> bool:
        """Read what waits. Return whether there was anything."""
        try:
            call(lib.read_events, handle, self._buffer)
        except Error as error:
            if error.errno == errno.EAGAIN:
                return False
            if error.errno == errno.EINTR:
                return True
            raise
        event = None
        while True:
            event = lib.event_next(self._buffer, event)
            if event is None:
                return True
            if lib.event_type(event) not in _KNOWN_TYPES:
                continue
            if self._versions and not call(lib.versions_accept, self._versions, event):
                continue
            self._read.append(event_of(event, self._codec, self._subscriptions))

    def _forget(self, subscription: Subscription[AnyStr]) -> None:
        """Discard what was read of a subscription, as the kernel did with what waits."""
        self._read = deque(event for event in self._read if event.subscription is not subscription)


def queue_info(handle: Handle) -> QueueInfo:
    """Return the books of the queue of an open store."""
    info = _QueueInfo()
    call(lib.queue_info, handle, byref(info))
    return QueueInfo(
        Policy(info.policy),
        info.max_len,
        info.max_bytes,
        info.len,
        info.bytes,
        info.high_len,
        info.subscriptions,
        info.matched,
        info.delivered,
        info.conflated,
        info.lost,
        info.pending,
        info.discarded,
        info.oldest_ms / 1000,
    )


def _end_of(event: int) -> OwnerEnd:
    pid = ctypes.c_int32()
    code = ctypes.c_int()
    how = lib.event_end(event, byref(pid), byref(code))
    return OwnerEnd(End(how), pid.value, code.value)


def event_of(
    event: int, codec: Codec[AnyStr], subscriptions: Dict[int, Subscription[AnyStr]]
) -> Event[AnyStr]:
    """Return a copy of the library's event."""
    flags = EventFlags(lib.event_flags(event))
    return Event(
        type=EventType(lib.event_type(event)),
        key=codec.decode(text_of(lib.event_key, event)),
        value=codec.decode(text_of(lib.event_value, event)),
        version=lib.event_version(event),
        time_ns=lib.event_time(event),
        pid=lib.event_tgid(event),
        uid=lib.event_uid(event),
        flags=flags,
        count=lib.event_count(event),
        end=_end_of(event) if flags & EventFlags.OWNER else None,
        subscription=subscriptions.get(lib.event_cookie(event)),
    )
