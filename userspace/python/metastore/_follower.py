# SPDX-License-Identifier: LGPL-2.1-or-later
"""Followers: a copy of keys that is kept in step with the store."""

from __future__ import annotations

import select
import threading
from ctypes import byref
from typing import AnyStr, Dict, Generic, Iterator, List, Mapping, NamedTuple, Optional

from ._lib import Follow, FollowInfo, FollowOptions, FollowType, Handle, Subscribe
from ._lib import call, lib, text_of
from ._subscriber import event_of
from ._types import Change, Codec
from ._wait import Stream, Waiter

_AT_MOST = 1024


class FollowerInfo(NamedTuple):
    """Counters of a follower: keys that it remembers, times that it began anew, events
    that were lost, and times that it opened the device of another module. While it cannot
    do that, ``away`` is the errno of the last try, else 0."""

    keys: int
    recoveries: int
    lost: int
    renewals: int = 0
    away: int = 0


class Follower(Waiter[Change[AnyStr]], Mapping[AnyStr, AnyStr]):
    """A read-only mapping: the followed keys and their values, made by ``Store.follow()``.

    It is complete when it is made. It changes only in refresh() and while changes() is
    iterated over, so that a program sees no change under its hands. Lost events and
    flushed subscriptions are recovered from: the copy is never wrong for good.
    """

    def __init__(
        self, store: Handle, codec: Codec[AnyStr], *, each: bool, no_value: bool
    ) -> None:
        super().__init__()
        flags = (Follow.EACH if each else 0) | (Follow.NO_VALUE if no_value else 0)
        options = FollowOptions(flags=int(flags))
        self._handle: Optional[Handle] = Handle(
            call(lib.follow_new, store, byref(options)), lib.follow_free
        )
        self._codec: Codec[AnyStr] = codec
        self._copy: Dict[bytes, AnyStr] = {}
        self._reading = threading.RLock()
        self._in_step = FollowerInfo(0, -1, 0)

    def __repr__(self) -> str:
        return f"<metastore.Follower of {len(self)} keys{' closed' if self.closed else ''}>"

    def __enter__(self) -> "Follower[AnyStr]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, key: AnyStr) -> AnyStr:
        try:
            return self._copy[self._codec.encode(key, "key")]
        except KeyError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[AnyStr]:
        return map(self._codec.decode, self._copy)

    def __len__(self) -> int:
        return len(self._copy)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle is None

    def close(self) -> None:
        """Follow no longer. The copy stays as it is."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.end(lib.fd(lib.follow_store(handle)))
            self._wake_closed()

    def fileno(self) -> int:
        """Return the descriptor: when it is readable, call ``refresh(0)``."""
        return int(lib.follow_fd(self._held()))

    def _held(self) -> Handle:
        if self._handle is None:
            raise ValueError("the follower is closed")
        return self._handle

    def add(self, key: Optional[AnyStr] = None, *, prefix: Optional[AnyStr] = None) -> None:
        """Follow a key as well, which need not exist, or all keys with a prefix.

        The copy has their values when refresh() returns. Raises LimitError: too many
        subscriptions; BusyError: more than 1,024 events wait: call refresh() first.
        """
        if (key is None) == (prefix is None):
            raise TypeError("either a key or a prefix")
        name = prefix if key is None else key
        encoded = self._codec.encode(name, "key")
        flags = Subscribe.PREFIX if key is None else 0
        with self._reading:
            self._in_step = FollowerInfo(0, -1, 0)
            call(lib.follow_add, self._held(), encoded, len(encoded), flags, key=name)

    @property
    def in_step(self) -> bool:
        """Whether the copy is one of a moment. Between a loss and the recovery it may mix
        older and newer values of different keys."""
        info = self.info()
        return info[1:] == self._in_step[1:]

    def info(self) -> FollowerInfo:
        """Return the counters."""
        info = FollowInfo()
        lib.follow_info(self._held(), byref(info))
        return FollowerInfo(info.keys, info.recoveries, info.lost, info.renewals, info.away)

    def refresh(self, timeout: Optional[float] = 0) -> List[Change[AnyStr]]:
        """Apply changes that wait, and return them: at most 1,024, so that it ends under
        writers that never rest.

        If there are none, wait up to @timeout seconds for one; None: without end. The
        copy has all that is in the store at the moment when @timeout is 0, this returns [], and
        ``in_step`` is true: while the module is replaced (``mstore upgrade``) it is not.
        """
        changes = []
        change = self._wait(timeout)
        while change is not None:
            changes.append(change)
            change = self._try() if len(changes) < _AT_MOST else None
        return changes

    def changes(self, timeout: Optional[float] = None) -> "Changes[AnyStr]":
        """Iterate over changes, with ``for`` or ``async for``, each applied as it is told.

        The iteration ends when none came for @timeout seconds; None: never. Each
        change is told once, whether by an iterator or by refresh().
        """
        return Changes(self, timeout)

    def _try(self) -> Optional[Change[AnyStr]]:
        """Apply the next change; None: none waits."""
        with self._reading:
            handle = self._held()
            while True:
                kind = call(lib.follow_next, handle, 0)
                if kind == 0:
                    return None
                if kind == FollowType.IN_STEP:
                    self._in_step = self.info()
                    continue
                return self._apply(handle, kind == FollowType.DELETED)

    def _apply(self, handle: Handle, deleted: bool) -> Change[AnyStr]:
        key = text_of(lib.follow_key, handle)
        value = self._codec.decode(text_of(lib.follow_value, handle))
        event = lib.follow_event(handle)
        if deleted:
            self._copy.pop(key, None)
        else:
            self._copy[key] = value
        return Change(
            key=self._codec.decode(key),
            value=value,
            version=lib.follow_version(handle),
            deleted=deleted,
            event=None if event is None else event_of(event, self._codec, {}),
        )

    def _complete(self) -> None:
        """Apply what there is, until the copy is in step."""
        while not self.in_step:
            if self._try() is None and not self.in_step:
                # The device is away: the descriptor tells when to try again.
                select.select([self.fileno()], [], [], 1)


class Changes(Stream[Change[AnyStr]], Generic[AnyStr]):
    """Changes that a follower applies and tells, made by ``Follower.changes()``."""

    def __init__(self, follower: Follower[AnyStr], timeout: Optional[float]) -> None:
        self.timeout = timeout
        self._follower: Follower[AnyStr] = follower

    def _source(self) -> Waiter[Change[AnyStr]]:
        return self._follower
