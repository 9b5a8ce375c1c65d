# SPDX-License-Identifier: LGPL-2.1-or-later
"""The open store: a mapping, and the calls that a mapping has not."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import ItemsView, MutableMapping, ValuesView
from contextlib import contextmanager, suppress
from ctypes import byref, c_int64, c_uint32, c_uint64
from typing import (
    Any,
    AnyStr,
    Callable,
    Dict,
    Generic,
    Iterator,
    Literal,
    Optional,
    Tuple,
    TypeVar,
    Union,
    overload,
)

from . import _lib
from ._batch import Batch
from ._follower import Follower
from ._lib import Flush, Handle, Open, Options, PreviousRoom, Room, Write, call, lib, text_of
from ._lock import Hold, Lock
from ._subscriber import Subscriber
from ._types import (
    ALL_EVENTS,
    Codec,
    Deadline,
    Entry,
    Events,
    Features,
    Flushed,
    Info,
    Listed,
    Owner,
    Previous,
    Published,
    Seconds,
    Stat,
    Use,
    UserInfo,
    UserKind,
    rest,
    write_options,
)
from .errors import AbsentError, Error, ExistsError, UnavailableError, error_of

T = TypeVar("T")
Path = Union[str, "os.PathLike[str]", None]

_ACCESS = {"r": Open.READ, "w": Open.WRITE, "rw": Open.READ | Open.WRITE}
_ACCESS_OF_FLAGS = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "rw"}

# Most values are shorter; a longer one costs a second call.
_ROOM = 1024

# No default was given.
_REQUIRED: Any = object()


def _access(mode: str) -> int:
    if mode not in _ACCESS:
        raise ValueError(f"mode {mode!r}: must be 'r', 'w' or 'rw'")
    return int(_ACCESS[mode])


class Store(MutableMapping[AnyStr, AnyStr], Generic[AnyStr]):
    """The machine's map, or a private one, opened.

    ``Store()`` has keys and values of bytes, ``Store(text=True)`` of str. A key has 1 to
    255 bytes and a value up to ``info().max_value``; both may hold any bytes.

    As a mapping it is that of all keys, with these differences: other programs change it
    at any time; the order of keys has no meaning; ``len()`` also counts values whose time
    has expired and that are not removed yet; ``pop()``, ``popitem()`` and
    ``setdefault()`` are one step, as seen by other programs; ``clear()`` leaves the
    values that other open stores own.

    Threads may share it. After fork() both processes share the open store: what it owns
    ends when both have closed it. It is a context manager; an object that is not closed
    is closed when nothing refers to it.

    Every call raises AccessError without the access that it needs ("r" to get, list and
    subscribe; "w" to change), ArgumentError for a key of a wrong length, Error with ENOMEM,
    and UnsupportedError if the module is too old. Further errors are listed at each call.
    """

    _handle: Optional[Handle]
    _codec: Codec[AnyStr]

    @overload
    def __init__(
        self: "Store[bytes]", path: Path = None, *, text: Literal[False] = False, mode: str = "rw"
    ) -> None: ...

    @overload
    def __init__(
        self: "Store[str]", path: Path = None, *, text: Literal[True], mode: str = "rw"
    ) -> None: ...

    def __init__(self, path: Path = None, *, text: bool = False, mode: str = "rw") -> None:
        """Open a store.

        @path is the device, or "fd:N": the store of the inherited descriptor N, opened
        again; None: the environment variable METASTORE_STORE, or /dev/metastore. @mode is
        "r", "w" or "rw".

        Raises UnavailableError if the module is not loaded, AccessError if the device does
        not permit the access, LimitError if the user has too many open stores, and other
        errors of open(2).
        """
        name = None if path is None else os.fsencode(path)
        try:
            pointer = call(lib.open, name, _access(mode), key=path)
        except AbsentError as error:
            raise UnavailableError(
                error.errno,
                "No such device: is the module metastore loaded?",
                "/dev/metastore" if path is None else path,
            ) from None
        self._handle = Handle(pointer, lib.close)
        self._codec = Codec(text)

    @classmethod
    def _of(cls, handle: Handle, codec: Codec[Any]) -> "Store[Any]":
        store = cls.__new__(cls)
        store._handle = handle
        store._codec = codec
        return store

    @overload
    @classmethod
    def from_fd(cls, fd: int, *, text: Literal[False] = False) -> "Store[bytes]": ...

    @overload
    @classmethod
    def from_fd(cls, fd: int, *, text: Literal[True]) -> "Store[str]": ...

    @classmethod
    def from_fd(cls, fd: int, *, text: bool = False) -> "Store[Any]":
        """Make a store of a descriptor that was inherited or received. The store owns it."""
        if fd < 0:
            raise error_of(errno.EBADF)
        return cls._of(Handle(call(lib.open_fd, fd), lib.close), Codec(text))

    @overload
    @classmethod
    def private(
        cls,
        source: "Optional[Store[Any]]" = None,
        *,
        text: Literal[False] = False,
        mode: str = "rw",
        mapped: bool = False,
        **limits: int,
    ) -> "Store[bytes]": ...

    @overload
    @classmethod
    def private(
        cls,
        source: "Optional[Store[Any]]" = None,
        *,
        text: Literal[True],
        mode: str = "rw",
        mapped: bool = False,
        **limits: int,
    ) -> "Store[str]": ...

    @classmethod
    def private(
        cls,
        source: "Optional[Store[Any]]" = None,
        *,
        text: bool = False,
        mode: str = "rw",
        mapped: bool = False,
        **limits: int,
    ) -> "Store[Any]":
        """Make an empty store without a name, which only descriptors reach.

        It ends with its last descriptor. @limits are ``buckets``, ``max_value``,
        ``queue_len``, ``queue_bytes``, ``max_keys`` and ``max_bytes``. One that is 0 or not
        given is that of @source, an open store; None: the default store. With @mapped,
        map() works with the new store, which takes more memory.

        Raises ArgumentError: a limit out of its range; AccessError: above that of @source, or
        a security module forbids it; LimitError: private stores or the user have too much.
        """
        unknown = limits.keys() - {name for name, _ in _lib.Limits._fields_[:-1]}
        if unknown:
            raise TypeError(f"no such limit: {', '.join(sorted(unknown))}")
        origin = Store(mode="w") if source is None else source
        flags = _access(mode) | (Open.MAPPED if mapped else 0)
        pointer = call(lib.create, origin._held(), byref(_lib.Limits(**limits)), flags)
        return cls._of(Handle(pointer, lib.close), Codec(text))

    def reopen(self, mode: Optional[str] = None) -> "Store[AnyStr]":
        """Open the store again, with an own queue and own keys.

        @mode is at most the access that this one has; None: the same. Raises AccessError
        for more, LimitError if the user has too many open stores.
        """
        return self._of(self._reopened(self.mode if mode is None else mode), self._codec)

    def renew(self, timeout: Optional[float] = None) -> None:
        """Open the store again after UnavailableError, once the next module is there.

        Without this, or close(), the module cannot be replaced. Subscriptions and owned
        keys of this object are gone afterwards; values stay, with greater versions. No other
        thread may use the store meanwhile. A Follower does this by itself. @timeout is in
        seconds; None: without end. Raises TimedOut; Error with ENOTSUP for a private store,
        which ends with its module.
        """
        milliseconds = -1 if timeout is None else max(0, round(timeout * 1000))
        call(lib.renew, self._held(), milliseconds)

    def map(self) -> None:
        """Get values up to some 460 bytes from memory that the module shares, from now on.

        A get of a longer value, or of one with an owner or a time to live, asks the module as
        before, with the same result. Raises AccessError without "r"; Error with EOPNOTSUPP if
        whoever made the store did not want it mapped, with EAGAIN if RLIMIT_MEMLOCK is too low;
        LimitError if the user has too many open files. A program that fails here goes on.
        """
        call(lib.map, self._held())

    def _reopened(self, mode: str, more: int = 0) -> Handle:
        return Handle(call(lib.reopen, self._held(), _access(mode) | more), lib.close)

    def _held(self) -> Handle:
        if self._handle is None:
            raise ValueError("the store is closed")
        return self._handle

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.mode} fd {self.fileno()}"
        return f"<metastore.Store {'text ' if self._codec.text else ''}{state}>"

    def __copy__(self) -> "Store[AnyStr]":
        raise TypeError("two objects cannot share an open store; see reopen()")

    def __enter__(self) -> "Store[AnyStr]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle is None

    def close(self) -> None:
        """Close the store. If no other process has it open, the keys that it owns go.

        No other thread may be in a call. A list under way raises ValueError.
        """
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.end(lib.fd(handle))

    def fileno(self) -> int:
        """Return the descriptor, to be passed to another process. It stays the store's."""
        return int(lib.fd(self._held()))

    @property
    def mode(self) -> str:
        """Access: "r", "w" or "rw"."""
        return _ACCESS_OF_FLAGS[fcntl.fcntl(self.fileno(), fcntl.F_GETFL) & os.O_ACCMODE]

    # The mapping

    def __getitem__(self, key: AnyStr) -> AnyStr:
        return self.get_version(key)[0]

    def __setitem__(self, key: AnyStr, value: AnyStr) -> None:
        self.set(key, value)

    def __delitem__(self, key: AnyStr) -> None:
        self.delete(key)

    def __iter__(self) -> Iterator[AnyStr]:
        return (listed.key for listed in self.list())

    def __len__(self) -> int:
        return self.info().keys

    def __contains__(self, key: object) -> bool:
        try:
            self.stat(key)  # type: ignore[arg-type]
        except AbsentError:
            return False
        return True

    def __bool__(self) -> bool:
        """True, also for an empty store: it is an open file first."""
        return True

    def items(self) -> ItemsView[AnyStr, AnyStr]:
        """Return a view whose pairs are each of one moment."""
        return _Items(self)

    def values(self) -> ValuesView[AnyStr]:
        """Return a view of the values."""
        return _Values(self)

    @overload  # type: ignore[override]
    def pop(self, key: AnyStr, /) -> AnyStr: ...

    @overload
    def pop(self, key: AnyStr, /, default: Union[AnyStr, T]) -> Union[AnyStr, T]: ...

    def pop(self, key: AnyStr, /, default: Any = _REQUIRED) -> Any:
        """Remove a key and return its value; of several callers one gets it."""
        try:
            return self.take(key).value
        except AbsentError:
            if default is _REQUIRED:
                raise
            return default

    def popitem(self) -> Tuple[AnyStr, AnyStr]:
        """Remove some key that no other open store owns, and return it with its value."""
        for entry in self.list_values():
            if entry.owner is not Owner.OTHER:
                with suppress(AbsentError):
                    return entry.key, self.take(entry.key).value
        raise KeyError("popitem(): the store is empty")

    def setdefault(self, key: AnyStr, default: Any = None) -> AnyStr:
        """Store a value unless there is one, and return the one that is there."""
        while True:
            try:
                return self[key]
            except AbsentError:
                with suppress(ExistsError):
                    self.set(key, default, create=True)
                    return self._codec.decode(self._codec.encode(default, "value"))

    def clear(self) -> None:
        """Remove all keys but those that other open stores own."""
        self.flush()

    # Values

    def _encode_key(self, key: AnyStr) -> bytes:
        return self._codec.encode(key, "key")

    def _get(self, function: Callable[..., Any], key: AnyStr, facts: Any) -> AnyStr:
        handle = self._held()
        encoded = self._encode_key(key)
        size = _ROOM
        while True:
            room = Room(size)
            try:
                call(
                    function, handle, encoded, len(encoded), room.memory, byref(room.size),
                    byref(facts), key=key,
                )
                return self._codec.decode(room.bytes())
            except Error as error:
                if error.errno != errno.ERANGE:
                    raise
                size = room.size.value

    def get_version(self, key: AnyStr) -> Tuple[AnyStr, int]:
        """Return the value of a key and its version. Raises AbsentError."""
        version = c_uint64()
        return self._get(lib.get, key, version), version.value

    def get_info(self, key: AnyStr) -> Entry[AnyStr]:
        """Return the value of a key and all about it. Raises AbsentError."""
        info = _lib.ValueInfo()
        return _entry(key, self._get(lib.get_info, key, info), info)

    def set(
        self,
        key: AnyStr,
        value: AnyStr,
        *,
        create: bool = False,
        replace: bool = False,
        if_version: Optional[int] = None,
        owned: bool = False,
        steal: bool = False,
        ttl: Optional[Seconds] = None,
        keep_ttl: bool = False,
    ) -> int:
        """Store a value, and return its version.

        @create: raise ExistsError if there is a value. @replace: raise AbsentError if there
        is none. @if_version: raise ChangedError if the value has another version; 0: if
        there is one. At most one of the three. @owned: this open store becomes the owner:
        others cannot change the value, and the kernel deletes it when the store is closed.
        @steal: proceed although another open store owns the value. @ttl: time to live in
        seconds, or a timedelta; None: unlimited. @keep_ttl: leave the end of the previous
        value's time as it is.

        Versions of a key always increase, also across deletion. Raises also BusyError:
        another open store owns it; TooLongError; LimitError.
        """
        options = write_options(
            create=create,
            replace=replace,
            if_version=if_version,
            owned=owned,
            steal=steal,
            ttl=ttl,
            keep_ttl=keep_ttl,
        )
        return self._change(lib.set_with, key, [value], options)[1]

    def swap(
        self,
        key: AnyStr,
        value: AnyStr,
        *,
        create: bool = False,
        replace: bool = False,
        if_version: Optional[int] = None,
        owned: bool = False,
        steal: bool = False,
        ttl: Optional[Seconds] = None,
        keep_ttl: bool = False,
    ) -> Optional[Previous[AnyStr]]:
        """Store a value as set() does, and return the one that it replaced, None if there
        was none. No other change comes in between."""
        options = write_options(
            create=create,
            replace=replace,
            if_version=if_version,
            owned=owned,
            steal=steal,
            ttl=ttl,
            keep_ttl=keep_ttl,
        )
        return self._change(lib.set_with, key, [value], options, previous=True)[2]

    def publish(
        self,
        key: AnyStr,
        value: AnyStr,
        *,
        create: bool = False,
        replace: bool = False,
        if_version: Optional[int] = None,
        owned: bool = False,
        steal: bool = False,
        ttl: Optional[Seconds] = None,
        keep_ttl: bool = False,
        previous: bool = False,
        wait: bool = False,
        timeout: Optional[float] = None,
    ) -> Published[AnyStr]:
        """Store a value as set() does, with an event PUBLISHED in place of SET.

        @previous: also return the value that it replaced. @wait: wait until every lossless
        queue that is to get the event has room, up to @timeout seconds; None: without end.
        Then all get it, or TimedOut is raised and nothing has changed.
        """
        options = write_options(
            create=create,
            replace=replace,
            if_version=if_version,
            owned=owned,
            steal=steal,
            ttl=ttl,
            keep_ttl=keep_ttl,
        )
        if timeout is not None and not wait:
            raise TypeError("timeout needs wait=True")
        if wait:
            options.flags |= Write.WAIT
        queues, version, found = self._change(
            lib.publish_with, key, [value], options,
            previous=previous, deadline=Deadline(timeout) if wait else None,
        )
        return Published(version, queues, found)

    def delete(self, key: AnyStr, *, if_version: Optional[int] = None, steal: bool = False) -> int:
        """Remove a key, and return the version of the deletion.

        Raises AbsentError; ChangedError: the value has another version than @if_version;
        BusyError: another open store owns it, and not @steal.
        """
        options = write_options(if_version=if_version, steal=steal)
        return self._change(lib.delete_with, key, [], options)[1]

    def take(
        self, key: AnyStr, *, if_version: Optional[int] = None, steal: bool = False
    ) -> Previous[AnyStr]:
        """Remove a key as delete() does, and return its value: of several callers exactly
        one gets it."""
        options = write_options(if_version=if_version, steal=steal)
        taken = self._change(lib.delete_with, key, [], options, previous=True)[2]
        assert taken is not None
        return taken

    def _change(
        self,
        function: Callable[..., Any],
        key: AnyStr,
        values: "list[AnyStr]",
        options: Options,
        *,
        previous: bool = False,
        deadline: Optional[Deadline] = None,
    ) -> Tuple[int, int, Optional[Previous[AnyStr]]]:
        """Return the result, the version and the previous value of a change."""
        handle = self._held()
        texts = [self._encode_key(key)]
        texts += [self._codec.encode(value, "value") for value in values]
        arguments = [part for text in texts for part in (text, len(text))]
        version = c_uint64()
        room = _ROOM
        while True:
            before = PreviousRoom(room) if previous else None
            if before:
                before.ask_in(options)
            if deadline:
                ms = deadline.ms()
                options.timeout_ms = (
                    _lib.WAIT_FOREVER if ms is None else min(ms, _lib.WAIT_FOREVER - 1)
                )
            try:
                result = call(
                    function, handle, *arguments, byref(options), byref(version),
                    key=key, version=version,
                )
                return result, version.value, self._previous(before)
            except Error as error:
                if before and error.errno == errno.ERANGE:
                    room = before.struct.size
                elif error.errno != errno.EINTR:
                    raise

    def _previous(self, room: Optional[PreviousRoom]) -> Optional[Previous[AnyStr]]:
        if room is None or room.struct.version == 0:
            return None
        value = self._codec.decode(room.bytes())
        return Previous(value, room.struct.version, Owner(room.struct.owner))

    def incr(
        self, key: AnyStr, delta: int = 1, *, ttl: Optional[Seconds] = None, owned: bool = False
    ) -> int:
        """Add to a decimal number of 64 bits, and return the sum. No addition is lost.

        An absent key counts as 0; @ttl and @owned are for a number that is created so.
        Raises NumberError: the value is no number, or the sum has more than 64 bits; also
        BusyError and LimitError.
        """
        if not -(2**63) <= delta < 2**63:
            raise error_of(errno.ERANGE, key)
        options = write_options(ttl=ttl, owned=owned)
        encoded = self._encode_key(key)
        total = c_int64()
        call(
            lib.add, self._held(), encoded, len(encoded), delta, byref(options), byref(total),
            None, key=key,
        )
        return total.value

    def touch(self, key: AnyStr, ttl: Seconds, *, if_version: Optional[int] = None) -> int:
        """Renew the time to live of a key, counted from now, and return its version. No
        subscriber gets an event.

        Raises AbsentError; ChangedError; BusyError; UnlimitedError: the value has an
        unlimited time to live.
        """
        options = write_options(if_version=if_version, ttl=ttl)
        encoded = self._encode_key(key)
        version = c_uint64()
        call(
            lib.touch, self._held(), encoded, len(encoded), byref(options), byref(version),
            key=key, version=version,
        )
        return version.value

    def flush(
        self,
        prefix: Optional[AnyStr] = None,
        *,
        bucket: Optional[int] = None,
        subscriptions: bool = False,
        steal: bool = False,
    ) -> Flushed:
        """Remove all keys, or those with a prefix; return how many.

        Those that other open stores own stay, unless @steal. @subscriptions: also remove
        the matching subscriptions of all open stores. Raises AccessError: that without
        CAP_SYS_ADMIN; NumberError: no such bucket.
        """
        encoded = b"" if prefix is None else self._encode_key(prefix)
        flags = (Flush.SUBSCRIPTIONS if subscriptions else 0) | (Flush.STEAL if steal else 0)
        values = c_uint64()
        ended = c_uint64()
        call(
            lib.flush, self._held(), encoded, len(encoded), _bucket(bucket), int(flags),
            byref(values), byref(ended),
        )
        return Flushed(values.value, ended.value)

    # Questions

    def stat(self, key: AnyStr) -> Stat:
        """Tell about a key without copying its value. Raises AbsentError."""
        encoded = self._encode_key(key)
        stat = _lib.Stat()
        call(lib.stat, self._held(), encoded, len(encoded), byref(stat), key=key)
        return Stat(
            stat.version,
            stat.value_len,
            stat.time,
            rest(stat.ttl_ms),
            stat.tgid,
            stat.uid,
            Owner(stat.owner),
            stat.subscribers,
            stat.bucket,
        )

    def list(
        self, prefix: Optional[AnyStr] = None, *, bucket: Optional[int] = None
    ) -> Iterator[Listed[AnyStr]]:
        """List keys, all or those with a prefix, without their values.

        A key that exists during the whole walk is listed exactly once. Raises NumberError:
        no such bucket.
        """
        for walk in self._walk(lib.list_new, prefix, bucket):
            yield Listed(
                self._codec.decode(text_of(lib.list_key, walk)),
                lib.list_value_len(walk),
                lib.list_version(walk),
            )

    def list_values(
        self, prefix: Optional[AnyStr] = None, *, bucket: Optional[int] = None
    ) -> Iterator[Entry[AnyStr]]:
        """List keys with their values and all about them, each of one moment."""
        info = _lib.ValueInfo()
        for walk in self._walk(lib.list_values_new, prefix, bucket):
            lib.list_info(walk, byref(info))
            yield _entry(
                self._codec.decode(text_of(lib.list_key, walk)),
                self._codec.decode(text_of(lib.list_value, walk)),
                info,
            )

    def _walk(
        self, new: Callable[..., Any], prefix: Optional[AnyStr], bucket: Optional[int]
    ) -> Iterator[Handle]:
        """Go from key to key."""
        store = self._held()
        encoded = b"" if prefix is None else self._encode_key(prefix)
        pointer = call(new, store, encoded, len(encoded), _bucket(bucket), key=prefix)
        walk = Handle(pointer, lib.list_free, store)
        while self._held() is store and call(lib.list_next, walk):
            yield walk

    def bucket(self, key: AnyStr) -> int:
        """Return the bucket of a key, which need not exist."""
        encoded = self._encode_key(key)
        return call(
            lib.bucket, self._held(), encoded, len(encoded), byref(c_uint32()), key=key
        )

    def subscribers(self, key: AnyStr) -> int:
        """Return the number of subscriptions to a key and to its prefixes."""
        encoded = self._encode_key(key)
        return call(lib.subscribers, self._held(), encoded, len(encoded), key=key)

    def info(self, bucket: Optional[int] = None) -> Info:
        """Return limits and counters; with @bucket, the counters of one bucket."""
        info = _lib.Info()
        call(lib.info, self._held(), _bucket(bucket), byref(info))
        return Info(Features(info.features), *(getattr(info, name) for name in Info._fields[1:]))

    def user_info(self) -> UserInfo:
        """Tell what the user that opened the store uses."""
        info = _lib.UserInfo()
        call(lib.user_info, self._held(), byref(info))
        return _user_info(info)

    def users(self) -> Iterator[UserInfo]:
        """Tell what each user uses. Raises AccessError without CAP_SYS_ADMIN."""
        info = _lib.UserInfo()
        handle = self._held()
        while True:
            try:
                call(lib.user_next, handle, byref(info))
            except AbsentError:
                return
            yield _user_info(info)

    # Objects

    def batch(self, *, atomic: bool = False) -> Batch[AnyStr]:
        """Make a batch of operations; see Batch."""
        return Batch(self._held(), self._codec, atomic)

    def subscribe(
        self,
        key: Optional[AnyStr] = None,
        *,
        prefix: Optional[AnyStr] = None,
        events: Events = ALL_EVENTS,
        snapshot: bool = False,
        newer: Optional[int] = None,
        latest: bool = False,
        no_value: bool = False,
        lossless: Optional[bool] = None,
        max_len: Optional[int] = None,
        max_bytes: Optional[int] = None,
        timeout: Optional[float] = None,
        buffer: int = 65536,
        once: bool = False,
    ) -> Subscriber[AnyStr]:
        """Return a subscriber: an event queue of its own, with a subscription to a key, which
        need not exist, or to all keys with a prefix. More are made by its add(). Its descriptor
        is open to write too if the store is, since map_events() needs that.

        Of the subscription: @events: the changes that it wants. @snapshot: the present
        values first. @newer: the same for one key, if its version is above this one.
        @latest: only the newest event of each key waits. @no_value: leave the values out.

        Of the queue: @lossless, @max_len, @max_bytes as in ``Subscriber.set_queue()``.

        Of the subscriber: @timeout: iteration ends when no event came for so many seconds.
        @buffer: bytes of events that it reads at a time; 1: one event. @once: pass over an
        event that another subscription of this subscriber has told, and older ones.
        """
        mode = "rw" if self.mode == "rw" else "r"
        subscriber = Subscriber(
            self._reopened(mode, Open.NONBLOCK), self._codec,
            timeout=timeout, buffer=buffer, once=once,
        )
        with _closed_on_error(subscriber):
            if (lossless, max_len, max_bytes) != (None, None, None):
                subscriber.set_queue(lossless=lossless, max_len=max_len, max_bytes=max_bytes)
            if key is not None or prefix is not None:
                subscriber.add(
                    key, prefix=prefix, events=events, snapshot=snapshot, newer=newer,
                    latest=latest, no_value=no_value,
                )
        return subscriber

    def follow(
        self,
        key: Optional[AnyStr] = None,
        *,
        prefix: Optional[AnyStr] = None,
        each: bool = False,
        no_value: bool = False,
    ) -> Follower[AnyStr]:
        """Return a follower: a copy of a key or of all keys with a prefix that is kept in step.
        More are followed by its add().

        @each: tell each change, not only the newest of each key. @no_value: leave the
        values out: those of the copy are empty.
        """
        follower = Follower(self._held(), self._codec, each=each, no_value=no_value)
        with _closed_on_error(follower):
            if key is not None or prefix is not None:
                follower.add(key, prefix=prefix)
                follower._complete()
        return follower

    def lock(
        self,
        key: AnyStr,
        *,
        slots: int = 1,
        value: Optional[AnyStr] = None,
        timeout: Optional[float] = None,
    ) -> Lock[AnyStr]:
        """Return a contender for a lock. ``with`` waits for it, up to @timeout seconds
        (None: without end; then it raises TimedOut), and releases it at the end.

        @slots: so many may hold it at a time. @value: value of its key while it is held.

        Raises ArgumentError: an empty key, or not 1 to 64 slots; TooLongError: a key of more
        than 233 bytes, or the value.
        """
        encoded = b"" if value is None else self._codec.encode(value, "value")
        return Lock(
            self._held(), self._codec, key, slots=slots, value=encoded, timeout=timeout
        )

    def hold(
        self,
        key: AnyStr,
        value: AnyStr,
        *,
        create: bool = False,
        replace: bool = False,
        if_version: Optional[int] = None,
        steal: bool = False,
    ) -> Hold[AnyStr]:
        """Store a value that lives as long as the returned object and this process, however
        that ends. The errors are those of set()."""
        store = self.reopen()
        with _closed_on_error(store):
            store.set(
                key, value, owned=True, create=create, replace=replace,
                if_version=if_version, steal=steal,
            )
        return Hold(store, key)


@contextmanager
def _closed_on_error(opened: Any) -> Iterator[None]:
    """Close what could not be set up: the traceback would keep it open."""
    try:
        yield
    except BaseException:
        opened.close()
        raise


def _bucket(bucket: Optional[int]) -> int:
    return _lib.ANY_BUCKET if bucket is None else bucket


def _entry(key: AnyStr, value: AnyStr, info: _lib.ValueInfo) -> Entry[AnyStr]:
    return Entry(
        key,
        value,
        info.version,
        info.time,
        rest(info.ttl_ms),
        info.tgid,
        info.uid,
        Owner(info.owner),
    )


def _user_info(info: _lib.UserInfo) -> UserInfo:
    kinds: Dict[int, Use] = {
        kind: Use(info.kinds[kind].use, info.kinds[kind].limit, info.kinds[kind].refused)
        for kind in UserKind
        if info.kinds[kind].limit
    }
    last = info.last_refused
    return UserInfo(info.ns, info.uid, None if last < 0 else last, kinds)


class _Items(ItemsView[AnyStr, AnyStr]):
    _mapping: Store[AnyStr]

    def __iter__(self) -> Iterator[Tuple[AnyStr, AnyStr]]:
        return ((entry.key, entry.value) for entry in self._mapping.list_values())


class _Values(ValuesView[AnyStr]):
    _mapping: Store[AnyStr]

    def __iter__(self) -> Iterator[AnyStr]:
        return (entry.value for entry in self._mapping.list_values())
