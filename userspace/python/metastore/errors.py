# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exceptions, one class for each kind of refusal, all subclasses of OSError.

Each has ``errno``, ``strerror``, and ``filename``: the key that was refused, if the
call had one. A refused call changed nothing.

A closed object raises ValueError, as a closed file does. A key or value of the wrong
type raises TypeError.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Dict, Type


class Error(OSError):
    """Base of all, and the class of each errno that no other class has.

    ENOMEM: out of memory, or the memory cgroup is full. EMFILE, ENFILE: too many
    descriptors. EALREADY: the lock is held. EPROTO: another program's value in a key of
    a lock.
    """

    #: After ExistsError and ChangedError of a write: version of the present value, 0 if
    #: there is none.
    version: int = 0


class AbsentError(Error, KeyError):
    """ENOENT: no such key, or no such subscription."""


class ExistsError(Error):
    """EEXIST: ``create``, and the key has a value; or already subscribed."""


class ChangedError(Error):
    """ESTALE: ``if_version``, and the value has another version."""


class BusyError(Error):
    """EBUSY: another open store owns the key; the lock is in use with another number of
    slots; or more events wait than the call can move."""


class UnlimitedError(Error):
    """ENODATA: ``touch()`` of a value that has an unlimited time to live."""


class LimitError(Error):
    """A limit is reached. ENOSPC: of the store. EDQUOT: of the user. ENOBUFS: of the
    open store: too many subscriptions, or no room to reserve in its queue."""


class TooLongError(Error, ValueError):
    """EMSGSIZE: the value is longer than the store's ``max_value``, or the keys of an
    atomic batch are too long together. ENAMETOOLONG: the key of a lock. E2BIG: the
    batch has 256 operations. ERANGE of a batch's operation: the value is longer than the
    room for it."""


class NumberError(Error, ValueError):
    """EBADMSG: ``incr()`` of a value that is no number. ERANGE: the sum is beyond 64
    bits, or the store has no such bucket."""


class ArgumentError(Error, ValueError):
    """EINVAL: a key that is empty or longer than 255 bytes, two conditions, a time or a
    limit out of its range, or a feature that an older module lacks."""


class AccessError(Error, PermissionError):
    """EBADF: the store was not opened with the access that the call needs. EACCES,
    EPERM: the device, a security module or a missing capability forbids it."""


class TimedOut(Error, TimeoutError):
    """ETIMEDOUT: the time is over. EAGAIN: ``publish(wait=True, timeout=0)`` would have
    to wait."""


class LockLostError(Error):
    """ENOLCK: the lock was taken away before its release."""


class BatchError(Error):
    """ECANCELED: an operation of an atomic batch failed, and none took effect. The error
    of that operation is ``__cause__``."""

    #: Index of the operation that failed.
    index: int = -1


class UnavailableError(Error):
    """ENOENT, ENODEV, ENXIO of opening: the module is not loaded. ENODEV of any other call:
    it is about to be replaced (``mstore upgrade``); see ``Store.renew()``."""


class UnsupportedError(Error):
    """ENOTTY, E2BIG: the module is too old for the call, or the descriptor is no
    store."""


_CLASSES: Dict[int, Type[Error]] = {
    errno.ENOENT: AbsentError,
    errno.EEXIST: ExistsError,
    errno.ESTALE: ChangedError,
    errno.EBUSY: BusyError,
    errno.ENODATA: UnlimitedError,
    errno.ENOSPC: LimitError,
    errno.EDQUOT: LimitError,
    errno.ENOBUFS: LimitError,
    errno.EMSGSIZE: TooLongError,
    errno.ENAMETOOLONG: TooLongError,
    errno.EBADMSG: NumberError,
    errno.ERANGE: NumberError,
    errno.EINVAL: ArgumentError,
    errno.EBADF: AccessError,
    errno.EACCES: AccessError,
    errno.EPERM: AccessError,
    errno.ETIMEDOUT: TimedOut,
    errno.EAGAIN: TimedOut,
    errno.ENOLCK: LockLostError,
    errno.ECANCELED: BatchError,
    errno.ENODEV: UnavailableError,
    errno.ENXIO: UnavailableError,
    errno.ENOTTY: UnsupportedError,
    errno.E2BIG: UnsupportedError,
}

# Where the words of strerror(3) would mislead.
_WORDS: Dict[int, str] = {
    errno.ENOENT: "No such key or subscription",
    errno.EEXIST: "The key has a value, or is subscribed to",
    errno.ESTALE: "The value has another version",
    errno.EBUSY: "Owned by another open store, or in use",
    errno.ENODATA: "The value has an unlimited time to live",
    errno.ENOSPC: "The store is full",
    errno.EDQUOT: "A limit of the user is reached",
    errno.ENOBUFS: "A limit of the open store is reached",
    errno.EMSGSIZE: "Longer than the store allows",
    errno.ENAMETOOLONG: "The key of a lock has at most 233 bytes",
    errno.EBADMSG: "The value is not a decimal number of 64 bits",
    errno.ERANGE: "The number is out of range",
    errno.EBADF: "The store was not opened with this access",
    errno.EAGAIN: "A lossless queue is full",
    errno.ENOLCK: "The lock was lost before its release",
    errno.ECANCELED: "An operation of the atomic batch failed",
    errno.ENOTTY: "The module is too old, or the descriptor is no store",
    errno.E2BIG: "The module is too old for an argument",
}


def error_of(code: int, key: Any = None) -> Error:
    """Return the exception of an errno."""
    words = _WORDS.get(code) or os.strerror(code)
    kind = _CLASSES.get(code, Error)
    return kind(code, words) if key is None else kind(code, words, key)
