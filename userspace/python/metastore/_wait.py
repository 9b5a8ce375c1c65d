# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a descriptor, in a thread or on asyncio.

Subscribers, followers and contenders for a lock are alike: an attempt that never waits,
and a descriptor that is readable when another attempt is due.
"""

from __future__ import annotations

import asyncio
import select
from abc import ABC, abstractmethod
from typing import Any, Generic, Iterator, List, Optional, TypeVar

from ._types import Deadline

T = TypeVar("T")

_POLL_MAX = 2**31 - 1


class Waiter(ABC, Generic[T]):
    """Something to wait for, again and again."""

    def __init__(self) -> None:
        self._waiting: List["asyncio.Future[None]"] = []

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor, for a poll loop. It stays the object's own."""

    @abstractmethod
    def _try(self) -> Optional[T]:
        """Return what is there, or None, without a wait. Raises ValueError if closed."""

    @abstractmethod
    def _held(self) -> Any:
        """Return what keeps the descriptor. Raises ValueError if closed."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether close() was called."""

    def _wait(self, timeout: Optional[float]) -> Optional[T]:
        """Wait up to @timeout seconds; None: without end. Return None at the timeout."""
        deadline = Deadline(timeout)
        while True:
            found = self._try()
            if found is not None:
                return found
            rest = deadline.ms()
            if rest == 0:
                return None
            held = self._held()
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.poll(None if rest is None else min(rest, _POLL_MAX))
            del held

    async def _await(self, timeout: Optional[float]) -> Optional[T]:
        """Do the same on asyncio. A task that is cancelled here has taken nothing."""
        deadline = Deadline(timeout)
        while True:
            found = self._try()
            if found is not None:
                return found
            rest = deadline.ms()
            if rest == 0:
                return None
            await self._readable(rest)

    async def _readable(self, rest: Optional[int]) -> None:
        """Wait until the descriptor is readable, the object is closed, or @rest ms."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        held = self._held()
        fd = self.fileno()
        timer = None if rest is None else loop.call_later(rest / 1000, _resolve, future)
        # A loop has one reader for each descriptor. It wakes all tasks that wait.
        if not self._waiting:
            loop.add_reader(fd, self._wake)
        self._waiting.append(future)
        try:
            await future
        finally:
            self._waiting.remove(future)
            if not self._waiting:
                loop.remove_reader(fd)
            if timer:
                timer.cancel()
            del held

    def _wake(self) -> None:
        for future in self._waiting:
            _resolve(future)

    def _wake_closed(self) -> None:
        for future in list(self._waiting):
            future.get_loop().call_soon_threadsafe(_resolve, future)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


# Events between which a task lets others run, if none of them had to be waited for.
_TURN = 64


class Stream(ABC, Generic[T]):
    """A Waiter as an iterator, and as an asynchronous one. It ends when nothing came for
    ``timeout`` seconds (None: never), and when it is closed."""

    timeout: Optional[float] = None
    _told = 0

    @abstractmethod
    def _source(self) -> Waiter[T]:
        """Return the Waiter."""

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        source = self._source()
        if source.closed:
            raise StopIteration
        found = source._wait(self.timeout)
        if found is None:
            raise StopIteration
        return found

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        self._told += 1
        if self._told % _TURN == 0:
            await asyncio.sleep(0)
        source = self._source()
        try:
            found = await source._await(self.timeout)
        except ValueError:
            if not source.closed:
                raise
            raise StopAsyncIteration from None
        if found is None:
            raise StopAsyncIteration
        return found
