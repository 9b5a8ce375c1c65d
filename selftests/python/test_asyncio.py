# SPDX-License-Identifier: GPL-2.0
"""asyncio without threads."""

import asyncio
import gc
import os
import signal
import threading
import time

import pytest

import metastore
from metastore import EventType

from conftest import SLOWNESS


def test_async_for(store):
    async def main():
        seen = []
        with store.subscribe("a") as events:
            asyncio.get_running_loop().call_later(0.1, store.set, "a", "2")
            store["a"] = "1"
            async for event in events:
                seen.append(event.value)
                if event.value == "2":
                    return seen

    threads = threading.active_count()
    assert asyncio.run(main()) == ["1", "2"]
    assert threading.active_count() == threads


def test_two_tasks_share_a_subscriber(store):
    async def main():
        got = {"one": [], "two": []}
        with store.subscribe("a", buffer=1) as events:
            async def read(name):
                async for event in events:
                    if event.value == "end":
                        store["a"] = "end"
                        return
                    got[name].append(int(event.value))
                    await asyncio.sleep(0)

            tasks = [asyncio.create_task(read(name)) for name in got]
            for number in range(200):
                store["a"] = str(number)
                await asyncio.sleep(0)
            store["a"] = "end"
            await asyncio.gather(*tasks)
        return got

    got = asyncio.run(main())
    assert sorted(got["one"] + got["two"]) == list(range(200))
    assert got["one"] and got["two"]


def test_two_subscribers(store):
    async def main():
        async def first(key):
            with store.subscribe(key) as events:
                async for event in events:
                    return event.value

        tasks = [asyncio.create_task(first(key)) for key in "ab"]
        await asyncio.sleep(0.1)
        store["b"] = "2"
        store["a"] = "1"
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["1", "2"]


def test_cancellation_takes_no_event(store):
    async def main():
        with store.subscribe("a") as events:
            for number in range(20):
                task = asyncio.create_task(events.__anext__())
                await asyncio.sleep(0)
                store["a"] = str(number)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await events.__anext__()).value == str(number)
            loop = asyncio.get_running_loop()
            assert not loop.remove_reader(events.fileno())

    asyncio.run(main())


def test_cancelling_one_task_leaves_the_other(store):
    async def main():
        with store.subscribe("a") as events:
            one = asyncio.create_task(events.__anext__())
            two = asyncio.create_task(events.__anext__())
            await asyncio.sleep(0.05)
            one.cancel()
            await asyncio.sleep(0.05)
            store["a"] = "1"
            assert (await two).value == "1"
            assert one.cancelled()

    asyncio.run(main())


def test_timeout_ends_the_iteration(store):
    async def main():
        with store.subscribe("a", timeout=0.3) as events:
            store["a"] = "1"
            begin = time.monotonic()
            assert [event.value async for event in events] == ["1"]
            assert 0.3 <= time.monotonic() - begin < 0.3 + 5 * SLOWNESS

    asyncio.run(main())


def test_wait_for(store):
    async def main():
        with store.subscribe("a") as events:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(events.__anext__(), 0.1)
            store["a"] = "1"
            assert (await events.__anext__()).value == "1"

    asyncio.run(main())


def test_close_ends_the_tasks_that_wait(store):
    async def main():
        events = store.subscribe("a")

        async def read():
            return [event async for event in events]

        tasks = [asyncio.create_task(read()) for _ in range(2)]
        await asyncio.sleep(0.05)
        events.close()
        assert await asyncio.wait_for(asyncio.gather(*tasks), 10 * SLOWNESS) == [[], []]
        assert store.subscribers("a") == 0

    asyncio.run(main())


def test_a_flood_does_not_starve_other_tasks(store):
    async def main():
        turns = 0
        with store.subscribe("a", max_len=1024, timeout=0) as events:
            for number in range(1000):
                store["a"] = "x"

            async def count():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(count())
            assert len([event async for event in events]) == 1000
            task.cancel()
        return turns

    assert asyncio.run(main()) >= 10


def test_follower(store):
    async def main():
        store["k1"] = "1"
        with store.follow(prefix="k") as copy:
            asyncio.get_running_loop().call_later(0.1, store.set, "k2", "2")
            async for change in copy.changes():
                assert (change.key, change.value) == ("k2", "2")
                assert copy == {"k1": "1", "k2": "2"}
                break
            assert [change async for change in copy.changes(timeout=0.1)] == []

    asyncio.run(main())


def test_lock(store):
    async def main():
        order = []

        async def work(name):
            async with store.lock("lock") as lock:
                assert lock.held
                order.append(name)
                await asyncio.sleep(0.01)
                order.append(name)

        await asyncio.gather(*(work(name) for name in "abcd"))
        assert order[::2] == order[1::2] and sorted(order[::2]) == list("abcd")
        async with store.lock("lock"):
            with pytest.raises(metastore.TimedOut):
                async with store.lock("lock", timeout=0.1):
                    pass
            other = store.lock("lock")
            assert not await other.acquire_async(0.1)
        assert await other.acquire_async(10 * SLOWNESS)
        other.release()

    asyncio.run(main())


def test_a_cancelled_contender_leaves_the_queue(store):
    async def main():
        async def work():
            async with store.lock("lock"):
                pass

        async with store.lock("lock"):
            task = asyncio.create_task(work())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with store.lock("lock", timeout=10 * SLOWNESS):
            pass
        assert "lock" not in store

    asyncio.run(main())


def test_interrupt(store):
    async def main():
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
        async for event in store.subscribe("a"):
            pass

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    gc.collect()
    assert store.subscribers("a") == 0


def test_event_types_arrive(store):
    async def main():
        with store.subscribe("a", snapshot=True, timeout=0) as events:
            return [event.type async for event in events]

    assert asyncio.run(main()) == [EventType.SNAPSHOT_END]
