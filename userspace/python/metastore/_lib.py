# SPDX-License-Identifier: LGPL-2.1-or-later
"""libmetastore by ctypes.

The binding calls the library and not the kernel's interface below it. Locks, followers
and lists are algorithms there, and contenders for a lock must agree on theirs. The
library's structures end with reserved fields, so their size stays the same; another
soname would tell of another interface. ctypes releases the GIL for each call.

A signal handler that raises, such as that of Ctrl-C, ends every wait: nothing here
waits in the library but a publisher, and that is repeated after EINTR.
"""

from __future__ import annotations

import ctypes
import errno
import os
import weakref
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p
from ctypes import c_uint32, c_uint64
from enum import IntFlag
from typing import Any, Callable, Dict, Optional, Tuple

from .errors import error_of

SONAME = "libmetastore.so.0"

try:
    _library = ctypes.CDLL(SONAME, use_errno=True)
except OSError as _error:
    raise ImportError(
        f"{SONAME} cannot be loaded: install the package libmetastore0, or run make install"
        f" and ldconfig ({_error})"
    ) from _error

ANY_BUCKET = -1
WAIT_FOREVER = 0xFFFFFFFF
BATCH_MAX = 256
BATCH_ATOMIC = 1
USER_KINDS = 16


class Open(IntFlag):
    READ = 1
    WRITE = 2
    NONBLOCK = 4
    MAPPED = 8


class Write(IntFlag):
    CREATE = 1
    REPLACE = 2
    IF_VERSION = 4
    OWNED = 8
    STEAL = 16
    WAIT = 32
    KEEP_TTL = 128


class Flush(IntFlag):
    SUBSCRIPTIONS = 1
    STEAL = 2


class Subscribe(IntFlag):
    PREFIX = 1 << 0
    SNAPSHOT = 1 << 1
    NEWER = 1 << 2
    LATEST = 1 << 3
    NO_VALUE = 1 << 4
    DISCARD = 1 << 6


class QueueSet(IntFlag):
    LEN = 1 << 0
    BYTES = 1 << 1
    POLICY = 1 << 2


class Follow(IntFlag):
    EACH = 1
    NO_VALUE = 2


class FollowType(IntFlag):
    VALUE = 1
    DELETED = 2
    IN_STEP = 3


# Fields as in metastore.h; reserved ones are zeroed by ctypes.


class Limits(ctypes.Structure):
    _fields_ = [
        ("buckets", c_uint32),
        ("max_value", c_uint32),
        ("queue_len", c_uint32),
        ("queue_bytes", c_uint32),
        ("max_keys", c_uint64),
        ("max_bytes", c_uint64),
        ("reserved", c_uint64 * 4),
    ]


class Previous(ctypes.Structure):
    _fields_ = [
        ("buffer", c_void_p),
        ("size", c_size_t),
        ("version", c_uint64),
        ("owner", c_int),
        ("reserved", c_uint64 * 4),
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("flags", c_int),
        ("timeout_ms", c_uint32),
        ("version", c_uint64),
        ("ttl_ms", c_uint64),
        ("previous", POINTER(Previous)),
        ("reserved", c_uint64 * 4),
    ]


class ValueInfo(ctypes.Structure):
    _fields_ = [
        ("version", c_uint64),
        ("time", c_uint64),
        ("ttl_ms", c_uint64),
        ("tgid", c_int32),
        ("uid", c_uint32),
        ("owner", c_uint32),
        ("value_len", c_uint32),
        ("reserved", c_uint64 * 8),
    ]


class Stat(ctypes.Structure):
    _fields_ = [
        ("version", c_uint64),
        ("time", c_uint64),
        ("value_len", c_uint32),
        ("tgid", c_int32),
        ("uid", c_uint32),
        ("subscribers", c_uint32),
        ("bucket", c_uint32),
        ("owner", c_uint32),
        ("ttl_ms", c_uint64),
        ("reserved", c_uint32 * 12),
    ]


class Info(ctypes.Structure):
    _fields_ = [
        ("features", c_uint64),
        ("buckets", c_uint32),
        ("key_max", c_uint32),
        ("max_value", c_uint32),
        ("queue_len", c_uint32),
        ("queue_bytes", c_uint32),
        ("max_subscriptions", c_uint32),
        ("max_keys", c_uint64),
        ("max_bytes", c_uint64),
        ("keys", c_uint64),
        ("bytes", c_uint64),
        ("subscriptions", c_uint64),
        ("private_bytes", c_uint64),
        ("reserved", c_uint64 * 22),
    ]


class UserKind(ctypes.Structure):
    _fields_ = [
        ("use", c_uint64),
        ("limit", c_uint64),
        ("refused", c_uint64),
        ("reserved", c_uint64 * 5),
    ]


class UserInfo(ctypes.Structure):
    _fields_ = [
        ("ns", c_uint32),
        ("uid", c_uint32),
        ("last_refused", c_int32),
        ("kinds", UserKind * USER_KINDS),
        ("reserved", c_uint64 * 6),
    ]


class SubscribeOptions(ctypes.Structure):
    _fields_ = [
        ("flags", c_int),
        ("events", c_int),
        ("cookie", c_uint64),
        ("version", c_uint64),
        ("reserved", c_uint64 * 5),
    ]


class SubscriptionInfo(ctypes.Structure):
    _fields_ = [
        ("flags", c_int),
        ("events", c_int),
        ("cookie", c_uint64),
        ("matched", c_uint64),
        ("delivered", c_uint64),
        ("conflated", c_uint64),
        ("lost", c_uint64),
        ("pending", c_uint64),
        ("discarded", c_uint64),
        ("reserved", c_uint64 * 7),
    ]


class QueueOptions(ctypes.Structure):
    _fields_ = [
        ("which", c_int),
        ("policy", c_int),
        ("max_len", c_uint32),
        ("max_bytes", c_uint32),
        ("reserved", c_uint64 * 4),
    ]


class QueueInfo(ctypes.Structure):
    _fields_ = [
        ("policy", c_int),
        ("max_len", c_uint32),
        ("max_bytes", c_uint32),
        ("len", c_uint32),
        ("bytes", c_uint32),
        ("high_len", c_uint32),
        ("subscriptions", c_uint32),
        ("reserved1", c_uint32),
        ("matched", c_uint64),
        ("delivered", c_uint64),
        ("conflated", c_uint64),
        ("lost", c_uint64),
        ("pending", c_uint64),
        ("oldest_ms", c_uint64),
        ("discarded", c_uint64),
        ("reserved", c_uint64 * 7),
    ]


class FollowOptions(ctypes.Structure):
    _fields_ = [("flags", c_int), ("reserved1", c_int), ("reserved", c_uint64 * 7)]


class FollowInfo(ctypes.Structure):
    _fields_ = [
        ("keys", c_uint64),
        ("recoveries", c_uint64),
        ("lost", c_uint64),
        ("renewals", c_uint64),
        ("away", c_uint64),
        ("reserved", c_uint64 * 3),
    ]


class LockOptions(ctypes.Structure):
    _fields_ = [
        ("slots", c_int),
        ("value", c_char_p),
        ("value_len", c_size_t),
        ("reserved", c_uint64 * 4),
    ]


_object = c_void_p
_bytes = (c_char_p, c_size_t)
_write = (_object, *_bytes, *_bytes, POINTER(Options), POINTER(c_uint64))
_add_write = (_object, *_bytes, *_bytes, POINTER(Options))
_list = (_object, *_bytes, c_int)
_text_of = (_object, POINTER(c_size_t))

# Result and arguments of each function.
_PROTOTYPES: Dict[str, Tuple[Any, ...]] = {
    "mstore_open": (_object, c_char_p, c_int),
    "mstore_open_fd": (_object, c_int),
    "mstore_close": (None, _object),
    "mstore_fd": (c_int, _object),
    "mstore_create": (_object, _object, POINTER(Limits), c_int),
    "mstore_reopen": (_object, _object, c_int),
    "mstore_renew": (c_int, _object, c_int),
    "mstore_map": (c_int, _object),
    "mstore_map_events": (c_int, _object, c_size_t),
    "mstore_set_with": (c_int, *_write),
    "mstore_publish_with": (c_int, *_write),
    "mstore_get": (c_int, _object, *_bytes, c_void_p, POINTER(c_size_t), POINTER(c_uint64)),
    "mstore_get_info": (
        c_int, _object, *_bytes, c_void_p, POINTER(c_size_t), POINTER(ValueInfo)
    ),
    "mstore_delete_with": (c_int, _object, *_bytes, POINTER(Options), POINTER(c_uint64)),
    "mstore_add": (
        c_int, _object, *_bytes, c_int64, POINTER(Options), POINTER(c_int64), POINTER(c_uint64)
    ),
    "mstore_touch": (c_int, _object, *_bytes, POINTER(Options), POINTER(c_uint64)),
    "mstore_flush": (
        c_int, _object, *_bytes, c_int, c_int, POINTER(c_uint64), POINTER(c_uint64)
    ),
    "mstore_stat": (c_int, _object, *_bytes, POINTER(Stat)),
    "mstore_bucket": (c_int, _object, *_bytes, POINTER(c_uint32)),
    "mstore_info": (c_int, _object, c_int, POINTER(Info)),
    "mstore_user_info": (c_int, _object, POINTER(UserInfo)),
    "mstore_user_next": (c_int, _object, POINTER(UserInfo)),
    "mstore_subscribers": (c_int, _object, *_bytes),
    "mstore_batch_new": (_object,),
    "mstore_batch_free": (None, _object),
    "mstore_batch_get": (c_int, _object, *_bytes, c_void_p, c_size_t),
    "mstore_batch_set": (c_int, *_add_write),
    "mstore_batch_publish": (c_int, *_add_write),
    "mstore_batch_delete": (c_int, _object, *_bytes, POINTER(Options)),
    "mstore_batch_touch": (c_int, _object, *_bytes, POINTER(Options)),
    "mstore_batch_run": (c_int, _object, _object, c_int),
    "mstore_batch_failed": (c_int, _object),
    "mstore_batch_result": (c_int, _object, c_int),
    "mstore_batch_version": (c_uint64, _object, c_int),
    "mstore_batch_value_len": (c_size_t, _object, c_int),
    "mstore_batch_ttl": (c_uint64, _object, c_int),
    "mstore_batch_owner": (c_int, _object, c_int),
    "mstore_batch_queues": (c_int, _object, c_int),
    "mstore_list_new": (_object, *_list),
    "mstore_list_values_new": (_object, *_list),
    "mstore_list_next": (c_int, _object),
    "mstore_list_key": (_object, *_text_of),
    "mstore_list_value": (_object, *_text_of),
    "mstore_list_value_len": (c_size_t, _object),
    "mstore_list_version": (c_uint64, _object),
    "mstore_list_info": (None, _object, POINTER(ValueInfo)),
    "mstore_list_free": (None, _object),
    "mstore_subscribe_with": (c_int, _object, *_bytes, POINTER(SubscribeOptions)),
    "mstore_unsubscribe_with": (c_int, _object, *_bytes, c_int),
    "mstore_resync": (c_int, _object, *_bytes, c_int),
    "mstore_subscription_info": (c_int, _object, *_bytes, c_int, POINTER(SubscriptionInfo)),
    "mstore_queue_set": (c_int, _object, POINTER(QueueOptions)),
    "mstore_queue_info": (c_int, _object, POINTER(QueueInfo)),
    "mstore_event_buffer_new": (_object, c_size_t),
    "mstore_event_buffer_free": (None, _object),
    "mstore_read_events": (c_int, _object, _object),
    "mstore_event_next": (_object, _object, _object),
    "mstore_event_type": (c_int, _object),
    "mstore_event_flags": (c_int, _object),
    "mstore_event_cookie": (c_uint64, _object),
    "mstore_event_key": (_object, *_text_of),
    "mstore_event_value": (_object, *_text_of),
    "mstore_event_version": (c_uint64, _object),
    "mstore_event_count": (c_uint64, _object),
    "mstore_event_time": (c_uint64, _object),
    "mstore_event_tgid": (c_int32, _object),
    "mstore_event_uid": (c_uint32, _object),
    "mstore_event_end": (c_int, _object, POINTER(c_int32), POINTER(c_int)),
    "mstore_versions_new": (_object, c_size_t),
    "mstore_versions_free": (None, _object),
    "mstore_versions_accept": (c_int, _object, _object),
    "mstore_follow_new": (_object, _object, POINTER(FollowOptions)),
    "mstore_follow_free": (None, _object),
    "mstore_follow_add": (c_int, _object, *_bytes, c_int),
    "mstore_follow_next": (c_int, _object, c_int),
    "mstore_follow_key": (_object, *_text_of),
    "mstore_follow_value": (_object, *_text_of),
    "mstore_follow_version": (c_uint64, _object),
    "mstore_follow_event": (_object, _object),
    "mstore_follow_fd": (c_int, _object),
    "mstore_follow_store": (_object, _object),
    "mstore_follow_info": (None, _object, POINTER(FollowInfo)),
    "mstore_lock_new": (_object, _object, *_bytes, POINTER(LockOptions)),
    "mstore_lock_free": (None, _object),
    "mstore_lock_acquire": (c_int, _object, c_int),
    "mstore_lock_is_held": (c_int, _object),
    "mstore_lock_number": (c_uint64, _object),
    "mstore_lock_slot": (c_int, _object),
    "mstore_lock_fd": (c_int, _object),
    "mstore_lock_store": (_object, _object),
    "mstore_lock_release": (c_int, _object),
}


class _Functions:
    """Functions of the library by their names without ``mstore_``."""

    def __init__(self) -> None:
        for name, (result, *arguments) in _PROTOTYPES.items():
            try:
                function = getattr(_library, name)
            except AttributeError as error:
                raise ImportError(f"{SONAME} is too old: it lacks {name}()") from error
            function.restype = result
            function.argtypes = arguments
            setattr(self, name[len("mstore_"):], function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


lib = _Functions()


def call(
    function: Callable[..., Any],
    *arguments: Any,
    key: Any = None,
    version: Optional[c_uint64] = None,
) -> int:
    """Call a function that returns -1 or NULL when it fails, and raise its error.

    @key is named in the error; @version is where the function tells the present one.
    """
    result = function(*arguments)
    if result is not None and result >= 0:
        return int(result)
    code = ctypes.get_errno()
    error = error_of(code, key)
    if version is not None and code in (errno.EEXIST, errno.ESTALE):
        error.version = version.value
    raise error


class Handle:
    """Pointer to an object of the library, which goes with the last reference to this.

    A call in another thread and a list under way have a reference, so that close() cannot
    take the memory away from them. The traceback of an error has one too. It must not
    prolong the life of owned keys, so close() ends the open file at once. The end of the
    process releases nothing: the kernel does that.
    """

    def __init__(
        self, pointer: int, free: Optional[Callable[[int], Any]], owner: Any = None
    ) -> None:
        self._as_parameter_ = pointer
        self._owner = owner
        self._owned = free is not None
        if free:
            weakref.finalize(self, free, pointer).atexit = False

    def end(self, fd: int) -> None:
        """Close the open file of a descriptor. Its number stays taken till the object goes,
        so that a late call does not meet another file there."""
        if not self._owned:
            return
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.dup2(null, fd, inheritable=False)
        finally:
            os.close(null)

    def __reduce__(self) -> Any:
        raise TypeError("an open store cannot be pickled; pass its descriptor")


def text_of(function: Callable[..., Any], pointer: Any) -> bytes:
    """Return the bytes that a function of a list, event or follower points to."""
    size = c_size_t()
    start = function(pointer, ctypes.byref(size))
    return ctypes.string_at(start, size.value) if size.value else b""


class Room:
    """Memory for a value that the library writes."""

    def __init__(self, size: int) -> None:
        self.size = c_size_t(size)
        self.memory = ctypes.create_string_buffer(size or 1)

    def bytes(self) -> bytes:
        return ctypes.string_at(self.memory, self.size.value)


class PreviousRoom:
    """Memory for the value that a change replaces."""

    def __init__(self, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size or 1)
        self.struct = Previous(buffer=ctypes.addressof(self._memory), size=size)

    def ask_in(self, options: Options) -> None:
        """Make a change with these options write here."""
        options.previous = ctypes.pointer(self.struct)

    def bytes(self) -> bytes:
        return ctypes.string_at(self._memory, self.struct.size)
