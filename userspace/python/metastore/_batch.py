# SPDX-License-Identifier: LGPL-2.1-or-later
"""Batches: many operations in one call, on request all at one moment or none."""

from __future__ import annotations

import errno
from ctypes import byref
from typing import Any, AnyStr, Callable, Generic, List, Optional

from ._lib import (
    BATCH_ATOMIC, BATCH_MAX, Handle, Options, PreviousRoom, Room, call, lib,
)
from ._types import Codec, Owner, Previous, Seconds, milliseconds, rest, write_options
from .errors import BatchError, Error, TooLongError, error_of


class Operation(Generic[AnyStr]):
    """One operation of a batch; its answers are there once the batch has run."""

    def __init__(self, batch: "Batch[AnyStr]", index: int, key: AnyStr) -> None:
        self.key: AnyStr = key
        self.index = index
        self._batch: Batch[AnyStr] = batch
        self._room: Optional[Room] = None
        self._previous: Optional[PreviousRoom] = None

    @property
    def error(self) -> Optional[Error]:
        """Why it failed; None: it did not. AbsentError of a get: no such key."""
        code = self._ask(lib.batch_result)
        if code == 0:
            return None
        if code == errno.ERANGE:
            return TooLongError(code, "The value is longer than size", self.key)
        error = error_of(code, self.key)
        error.version = self.version
        return error

    def check(self) -> "Operation[AnyStr]":
        """Raise the error, if it failed. Return the operation."""
        error = self.error
        if error:
            raise error
        return self

    @property
    def value(self) -> AnyStr:
        """Value that a get found. Raises the error of the operation."""
        self.check()
        if self._room is None:
            raise TypeError("only a get has a value")
        self._room.size.value = self._ask(lib.batch_value_len)
        value: AnyStr = self._batch._codec.decode(self._room.bytes())
        return value

    @property
    def version(self) -> int:
        """Version that was read or made; after ExistsError and ChangedError the present
        one; else 0."""
        return self._ask(lib.batch_version)

    @property
    def ttl(self) -> Optional[float]:
        """Rest of the time to live of a value that a get found; None: unlimited."""
        return rest(self._ask(lib.batch_ttl))

    @property
    def owner(self) -> Owner:
        """Owner of a value that a get found."""
        return Owner(self._ask(lib.batch_owner))

    @property
    def queues(self) -> int:
        """Number of subscriptions whose queue took a published value."""
        return self._ask(lib.batch_queues)

    @property
    def previous(self) -> Optional[Previous[AnyStr]]:
        """Value that was replaced or removed, if the operation asked; None: there was
        none. Raises the error of the operation."""
        self.check()
        if self._previous is None:
            raise TypeError("the operation did not ask for the previous value")
        struct = self._previous.struct
        if struct.version == 0:
            return None
        value = self._batch._codec.decode(self._previous.bytes())
        return Previous(value, struct.version, Owner(struct.owner))

    def _ask(self, function: Callable[..., int]) -> int:
        if not self._batch.ran:
            raise ValueError("the batch has not run")
        return function(self._batch._handle, self.index)


class Batch(Generic[AnyStr]):
    """Up to 256 operations in one call, or 128 if it is atomic, made by ``Store.batch()``.

    As a context manager it runs at the end, unless the body raised. A batch that is not
    atomic runs its operations one after the other: each fails or succeeds by itself, see
    ``Operation.error``. An atomic one runs all at one moment, or raises BatchError and
    changes nothing; a get of an absent key is no failure.

    ``size`` is the room in bytes for the value that an operation reads. A longer value
    fails with TooLongError.
    """

    #: Room for the value of a get, and for a previous one.
    SIZE = 4096

    def __init__(self, store: Handle, codec: Codec[AnyStr], atomic: bool) -> None:
        self.atomic = atomic
        #: The operations, in the order of addition.
        self.operations: List[Operation[AnyStr]] = []
        #: Whether it has run.
        self.ran = False
        self._store = store
        self._codec: Codec[AnyStr] = codec
        self._handle = Handle(call(lib.batch_new), lib.batch_free)
        # Keys and values: the library does not copy them.
        self._kept: List[Any] = []

    def __len__(self) -> int:
        return len(self.operations)

    def __enter__(self) -> "Batch[AnyStr]":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.run()

    def get(self, key: AnyStr, *, size: int = SIZE) -> Operation[AnyStr]:
        """Add: copy the value of a key."""
        room = Room(size)
        operation = self._add(lib.batch_get, key, [], room.memory, size)
        operation._room = room
        return operation

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
        previous: bool = False,
        size: int = SIZE,
    ) -> Operation[AnyStr]:
        """Add: store a value, with the options of ``Store.set()``, and with @previous also
        return the value that it replaces."""
        options = write_options(
            create=create,
            replace=replace,
            if_version=if_version,
            owned=owned,
            steal=steal,
            ttl=ttl,
            keep_ttl=keep_ttl,
        )
        room = size if previous else None
        return self._add_change(lib.batch_set, key, [value], options, room)

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
        size: int = SIZE,
    ) -> Operation[AnyStr]:
        """Add: store a value and notify subscribers, as set() otherwise."""
        options = write_options(
            create=create,
            replace=replace,
            if_version=if_version,
            owned=owned,
            steal=steal,
            ttl=ttl,
            keep_ttl=keep_ttl,
        )
        room = size if previous else None
        return self._add_change(lib.batch_publish, key, [value], options, room)

    def delete(
        self,
        key: AnyStr,
        *,
        if_version: Optional[int] = None,
        steal: bool = False,
        previous: bool = False,
        size: int = SIZE,
    ) -> Operation[AnyStr]:
        """Add: remove a key, with the options of ``Store.delete()``."""
        options = write_options(if_version=if_version, steal=steal)
        return self._add_change(lib.batch_delete, key, [], options, size if previous else None)

    def touch(
        self, key: AnyStr, ttl: Seconds, *, if_version: Optional[int] = None
    ) -> Operation[AnyStr]:
        """Add: renew the time to live of a key."""
        options = write_options(if_version=if_version)
        options.ttl_ms = milliseconds(ttl)
        return self._add_change(lib.batch_touch, key, [], options, None)

    def run(self) -> None:
        """Run the operations. The batch keeps them, and may run again.

        Raises BatchError: an operation of an atomic batch failed; ArgumentError: more than
        128 operations of an atomic batch, or two on one key; TooLongError: its keys have
        more than 8192 bytes. After these no operation took effect.
        """
        self.ran = True
        try:
            call(lib.batch_run, self._store, self._handle, BATCH_ATOMIC if self.atomic else 0)
        except BatchError as error:
            error.index = lib.batch_failed(self._handle)
            raise error from self.operations[error.index].error

    def _add_change(
        self,
        function: Callable[..., int],
        key: AnyStr,
        values: List[AnyStr],
        options: Options,
        room: Optional[int],
    ) -> Operation[AnyStr]:
        previous = None
        if room is not None:
            previous = PreviousRoom(room)
            previous.ask_in(options)
        operation = self._add(function, key, values, byref(options))
        operation._previous = previous
        return operation

    def _add(
        self, function: Callable[..., int], key: AnyStr, values: List[AnyStr], *more: Any
    ) -> Operation[AnyStr]:
        if len(self.operations) == BATCH_MAX:
            raise TooLongError(errno.E2BIG, f"A batch has at most {BATCH_MAX} operations", key)
        texts = [self._codec.encode(key, "key")]
        texts += [self._codec.encode(value, "value") for value in values]
        arguments = [part for text in texts for part in (text, len(text))]
        index = call(function, self._handle, *arguments, *more, key=key)
        self._kept.append(texts)
        operation: Operation[AnyStr] = Operation(self, index, key)
        self.operations.append(operation)
        self.ran = False
        return operation
