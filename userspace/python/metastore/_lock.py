# SPDX-License-Identifier: LGPL-2.1-or-later
"""Locks, and keys that live as long as their holder."""

from __future__ import annotations

import errno
import os
import threading
from ctypes import byref
from typing import TYPE_CHECKING, AnyStr, Callable, Generic, Optional

from ._lib import Handle, LockOptions, call, lib
from ._types import Codec, Owner
from ._wait import Waiter
from .errors import AbsentError, LockLostError, TimedOut

if TYPE_CHECKING:
    from ._store import Store


def _free_in(owner: int) -> Callable[[int], None]:
    """Return what releases a lock, but not in a forked child, which shares it."""

    def free(pointer: int) -> None:
        if os.getpid() == owner:
            lib.lock_free(pointer)

    return free


class Lock(Waiter[bool], Generic[AnyStr]):
    """A contender for a lock, made by ``Store.lock()``.

    ``with`` and ``async with`` acquire and release it, again and again. Contenders are
    served in the order of arrival, across processes. The lock ends with its holder, however
    that ends. After fork() the child shares the lock, and its end does not release it.

    One object is one contender: it holds the lock once, whatever threads use it.
    """

    def __init__(
        self,
        store: Handle,
        codec: Codec[AnyStr],
        key: AnyStr,
        *,
        slots: int,
        value: bytes,
        timeout: Optional[float],
    ) -> None:
        super().__init__()
        self.key: AnyStr = key
        self._codec: Codec[AnyStr] = codec
        self._timeout = timeout
        self._owner = os.getpid()
        self._using = threading.RLock()
        encoded = codec.encode(key, "key")
        options = LockOptions(slots=slots, value=value, value_len=len(value))
        self._handle: Optional[Handle] = Handle(
            call(lib.lock_new, store, encoded, len(encoded), byref(options), key=key),
            _free_in(self._owner),
        )

    def __repr__(self) -> str:
        return f"<metastore.Lock {self.key!r}{' closed' if self.closed else ''}>"

    def __enter__(self) -> "Lock[AnyStr]":
        try:
            self._entered(self._wait(self._timeout))
        except BaseException:
            self._leave()
            raise
        return self

    async def __aenter__(self) -> "Lock[AnyStr]":
        try:
            self._entered(await self._await(self._timeout))
        except BaseException:
            self._leave()
            raise
        return self

    def _entered(self, taken: Optional[bool]) -> None:
        if not taken:
            raise TimedOut(errno.ETIMEDOUT, "The lock was not released in time", self.key)

    def _leave(self) -> None:
        """Leave the queue, unless the object already held the lock or is closed."""
        if self._handle is not None and not self.number:
            self.release()

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.release()
        except LockLostError:
            # The body's own exception is the one to tell.
            if kind is None:
                raise

    async def __aexit__(self, kind: object, *_: object) -> None:
        self.__exit__(kind)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle is None

    def close(self) -> None:
        """Release the lock or leave the queue, and end the contender."""
        handle, self._handle = self._handle, None
        if handle is not None and os.getpid() == self._owner:
            lib.lock_release(handle)
            self._wake_closed()

    def _held(self) -> Handle:
        if self._handle is None:
            raise ValueError("the lock is closed")
        return self._handle

    def fileno(self) -> int:
        """Return a descriptor. Readable means: while it waits, call ``acquire(0)``; while
        the lock is held, look at ``held``."""
        return int(lib.lock_fd(self._held()))

    def _try(self) -> Optional[bool]:
        with self._using:
            return True if call(lib.lock_acquire, self._held(), 0, key=self.key) else None

    def acquire(self, timeout: Optional[float] = None) -> bool:
        """Wait up to @timeout seconds for the lock; None: without end. Return whether it
        is held.

        The place in the queue stays after the timeout, and after an exception such as
        KeyboardInterrupt, until release() or close(). Raises Error with EALREADY if it is
        held, BusyError if it is in use with another number of slots, TooLongError if too
        many wait, LimitError.
        """
        return self._wait(timeout) is not None

    async def acquire_async(self, timeout: Optional[float] = None) -> bool:
        """Do the same on asyncio."""
        return await self._await(timeout) is not None

    def release(self) -> None:
        """Give the lock back, or leave the queue. Raises LockLostError if it was lost."""
        with self._using:
            call(lib.lock_release, self._held(), key=self.key)

    @property
    def held(self) -> bool:
        """Whether the lock is still held: it can be stolen, or its key flushed."""
        with self._using:
            return bool(call(lib.lock_is_held, self._held(), key=self.key))

    @property
    def number(self) -> int:
        """Fencing number: higher than that of each holder of the slot before; 0: never
        held. A resource that refuses lower ones than it has seen is safe from a holder
        that does not know of its loss."""
        return int(lib.lock_number(self._held()))

    @property
    def slot(self) -> int:
        """Number of the slot that is held, from 1; 0: none."""
        return int(lib.lock_slot(self._held()))

    @property
    def store(self) -> "Store[AnyStr]":
        """The open store that owns the slot's key. With ``owned=True`` it can change the
        key's value."""
        from ._store import Store

        handle = self._held()
        borrowed = Handle(call(lib.lock_store, handle), None, handle)
        return Store._of(borrowed, self._codec)


class Hold(Generic[AnyStr]):
    """A key that lives until close(), or until the process ends, however it ends.

    It is made by ``Store.hold()`` and is a context manager. Processes that inherit the
    descriptor of ``store`` hold the key too.
    """

    def __init__(self, store: "Store[AnyStr]", key: AnyStr) -> None:
        #: The open store that owns the key.
        self.store: Store[AnyStr] = store
        self.key: AnyStr = key

    def __repr__(self) -> str:
        return f"<metastore.Hold {self.key!r}{' closed' if self.store.closed else ''}>"

    def __enter__(self) -> "Hold[AnyStr]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set(self, value: AnyStr) -> int:
        """Change the value, and return its version. Raises BusyError if another open store
        has stolen the key."""
        return self.store.set(self.key, value, owned=True)

    @property
    def held(self) -> bool:
        """Whether the key is still this one's: it can be stolen, or flushed."""
        try:
            return bool(self.store.stat(self.key).owner is Owner.SELF)
        except AbsentError:
            return False

    def close(self) -> None:
        """Let the kernel delete the key."""
        self.store.close()
