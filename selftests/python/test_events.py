# SPDX-License-Identifier: GPL-2.0
"""Subscribers: events, losses, books."""

import errno
import os
import re
import select
import signal
import threading
import time

import pytest

from metastore import (
    AbsentError,
    AccessError,
    ArgumentError,
    BusyError,
    Event,
    EventFlags,
    Events,
    EventType,
    ExistsError,
    LimitError,
    Policy,
)

from conftest import SLOWNESS


def test_the_age_of_the_oldest_event(store):
    with store.subscribe("a") as events:
        assert events.info().oldest == 0
        begin = time.monotonic()
        store["a"] = "1"
        time.sleep(0.2)
        assert 0.15 < events.info().oldest <= time.monotonic() - begin + 0.01


def test_each_kind_of_change(store):
    with store.subscribe("a") as events:
        first = store.publish("a", "1").version
        store["a"] = "2"
        last = store.delete("a")
        published, was_set, deleted = events.read(10)
    assert (published.type, was_set.type, deleted.type) == (
        EventType.PUBLISHED, EventType.SET, EventType.DELETED
    )
    assert isinstance(published, Event)
    assert (published.key, published.value, published.version) == ("a", "1", first)
    assert (deleted.value, deleted.version) == ("2", last)
    assert published.pid == os.getpid()
    assert published.uid == os.getuid()
    assert abs(published.time_ns - time.time_ns()) < 600 * 10**9
    assert published.flags == 0
    assert published.count == 0
    assert published.end is None
    assert published.subscription.key == "a"


def test_for(store):
    with store.subscribe("a", timeout=0.2) as events:
        for number in range(3):
            store["a"] = str(number)
        assert [event.value for event in events] == ["0", "1", "2"]
        store["a"] = "more"
        assert [event.value for event in events] == ["more"]
        assert next(events, None) is None


def test_timeouts(store):
    with store.subscribe("a") as events:
        begin = time.monotonic()
        assert events.next(0) is None
        assert events.read(0) == []
        assert events.next(0.3) is None
        assert time.monotonic() - begin >= 0.3
        threading.Timer(0.2, store.set, ("a", "late")).start()
        assert events.next().value == "late"


@pytest.mark.parametrize(
    "mask,types",
    [
        (Events.PUBLISHED, ["PUBLISHED"]),
        (Events.SET, ["SET"]),
        (Events.DELETED, ["DELETED", "DELETED"]),
        (Events.BY_DELETE, ["DELETED"]),
        (Events.BY_FLUSH | Events.SET, ["SET", "DELETED"]),
    ],
)
def test_masks(store, mask, types):
    with store.subscribe("a", events=mask) as events:
        store.publish("a", "1")
        store.delete("a")
        store["a"] = "2"
        store.flush()
        assert [event.type.name for event in events.read(0)] == types


def test_expiry_flush_and_owner(store):
    with store.subscribe(prefix="") as events:
        store.set("a", "1", ttl=0.05)
        assert events.next(60).type is EventType.SET
        expired = events.next(60)
        assert expired.flags == EventFlags.EXPIRED
        hold = store.hold("b", "1")
        hold.close()
        events.next(60)
        ended = events.next(60)
        assert ended.flags == EventFlags.OWNER
        assert ended.end.pid == os.getpid()
        store["c"] = "1"
        store.flush()
        events.next(60)
        assert events.next(60).flags == EventFlags.FLUSH


def test_prefix_and_several_subscriptions(store):
    with store.subscribe() as events:
        assert events.subscriptions == []
        net = events.add(prefix="net/")
        door = events.add("door")
        store.update({"net/a": "1", "other": "2", "door": "3"})
        told = [(event.key, event.subscription) for event in events.read(10)]
        assert told == [("net/a", net), ("door", door)]
        assert "prefix 'net/'" in repr(net)
        with pytest.raises(ExistsError):
            events.add("door")
        with pytest.raises(TypeError):
            events.add("a", prefix="b")
        with pytest.raises(TypeError):
            events.add()
        door.end()
        store["door"] = "4"
        assert events.read(0) == []
        with pytest.raises(AbsentError):
            door.end()
        with pytest.raises(AbsentError):
            door.info()
        again = events.add("door")
        store["door"] = "5"
        assert events.next(10).subscription is again


def test_end_with_discard(store):
    with store.subscribe("a", buffer=1) as events:
        store["a"] = "1"
        store["a"] = "2"
        assert events.next(10).value == "1"
        events.subscriptions[0].end(discard=True)
        assert events.next(0) is None


def test_discard_reaches_what_was_read_already(store):
    with store.subscribe("a") as events:
        events.add("b")
        store["a"] = "1"
        store["b"] = "2"
        store["a"] = "3"
        assert events.next(10).value == "1"
        events.subscriptions[0].end(discard=True)
        assert [event.value for event in events.read(0)] == ["2"]


def test_snapshot(store):
    store.update(a="1", b="2")
    with store.subscribe(prefix="", snapshot=True) as events:
        first = [events.next(10) for _ in range(3)]
        assert {(event.key, event.value) for event in first[:2]} == {("a", "1"), ("b", "2")}
        assert [event.type.name for event in first] == ["SNAPSHOT", "SNAPSHOT", "SNAPSHOT_END"]
        store["c"] = "3"
        assert events.next(10).type is EventType.SET


def test_newer(store):
    version = store.set("a", "1")
    with store.subscribe("a", newer=version) as events:
        assert [event.type.name for event in events.read(10)] == ["SNAPSHOT_END"]
    with store.subscribe("a", newer=version - 1) as events:
        assert [event.type.name for event in events.read(10)] == ["SNAPSHOT", "SNAPSHOT_END"]


def test_latest_and_no_value(store):
    with store.subscribe("a", latest=True) as events:
        for number in range(10):
            store["a"] = str(number)
        assert [event.value for event in events.read(10)] == ["9"]
        assert events.info().conflated == 9
    with store.subscribe("a", no_value=True) as events:
        store["a"] = "x"
        event = events.next(10)
        assert event.value == "" and event.flags == EventFlags.NO_VALUE


def test_once(store):
    for once, told in ((False, 3), (True, 1)):
        with store.subscribe("a/b", once=once) as events:
            events.add(prefix="a/")
            events.add(prefix="")
            store["a/b"] = "1"
            assert [event.value for event in events.read(10)] == ["1"] * told


def test_loss_and_resync(store):
    copy = {}
    with store.subscribe(prefix="k", max_len=4) as events:
        for number in range(100):
            store["k%d" % (number % 10)] = str(number)
        del store["k3"]
        lost = events.next(10)
        assert lost.type is EventType.LOST
        assert lost.count == 97
        assert lost.subscription is events.subscriptions[0]
        copy["k3"] = "gone"
        lost.subscription.resync()
        seen = set()
        for event in events:
            if event.type is EventType.SNAPSHOT_END:
                break
            assert event.type is EventType.SNAPSHOT
            copy[event.key] = event.value
            seen.add(event.key)
        copy = {key: value for key, value in copy.items() if key in seen}
        assert copy == dict(store)
        info = events.info()
        assert info.lost == 97
        assert info.matched == (
            info.delivered + info.conflated + info.lost + info.discarded + info.pending
        )
        events.subscriptions[0].end()
        with pytest.raises(AbsentError):
            events.subscriptions[0].resync()


def test_books(store):
    with store.subscribe("a", max_len=16, max_bytes=8192) as events:
        events.add(prefix="b")
        for number in range(20):
            store["a"] = "x"
        store["b"] = "y"
        info = events.info()
        assert (info.policy, info.max_len, info.max_bytes) == (Policy.DROP_OLDEST, 16, 8192)
        assert (info.matched, info.lost, info.pending, info.len) == (21, 5, 16, 16)
        assert (info.subscriptions, info.high_len, info.delivered) == (2, 16, 0)
        one, two = (each.info() for each in events.subscriptions)
        assert (one.matched, one.lost, one.pending) == (20, 5, 15)
        assert (two.matched, two.lost, two.pending) == (1, 0, 1)
        assert one.events == Events.PUBLISHED | Events.SET | Events.DELETED
        events.read(0)
        assert events.info().delivered == 16


def test_set_queue(store):
    with store.subscribe("a") as events:
        events.set_queue(lossless=True, max_len=2)
        assert events.info().policy is Policy.LOSSLESS
        store["a"] = "1"
        store["a"] = "2"
        with pytest.raises(BusyError) as told:
            events.set_queue(max_len=1)
        assert told.value.errno == errno.EBUSY
        events.set_queue(lossless=False, max_len=1)
        assert events.info().policy is Policy.DROP_OLDEST
        with pytest.raises(ValueError):
            events.set_queue(max_len=0)


def test_no_room_for_latest(store):
    with store.subscribe() as events:
        with pytest.raises(LimitError) as told:
            for number in range(1000):
                events.add(str(number), latest=True)
        assert told.value.errno == errno.ENOBUFS
        assert len(events.subscriptions) == number


def test_ten_thousand_events(store):
    with store.subscribe("n", max_len=1024, lossless=True) as events:
        def write():
            for number in range(10000):
                store.publish("n", str(number), wait=True)

        thread = threading.Thread(target=write)
        thread.start()
        values = [int(events.next(60).value) for _ in range(10000)]
        thread.join()
        assert values == list(range(10000))
        assert events.info().lost == 0


def test_a_large_value_grows_the_buffer(raw):
    longest = raw.info().max_value
    with raw.subscribe(b"a", buffer=1) as events:
        raw[b"a"] = b"x" * longest
        raw[b"a"] = b"y"
        assert len(events.next(10).value) == longest
        assert events.next(10).value == b"y"


def test_threads_share_a_subscriber(store):
    got = []
    with store.subscribe("a", buffer=1, timeout=2 * SLOWNESS) as events:
        def read():
            for event in events:
                got.append(event.value)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(300):
            store["a"] = str(number)
        for thread in threads:
            thread.join()
    assert sorted(got, key=int) == [str(number) for number in range(300)]


def test_poll_loop(store):
    with store.subscribe("a") as events:
        poll = select.poll()
        poll.register(events, select.POLLIN)
        assert poll.poll(0) == []
        store["a"] = "1"
        assert poll.poll(10000) == [(events.fileno(), select.POLLIN)]
        assert [event.value for event in events.read(0)] == ["1"]
        assert poll.poll(0) == []


def test_closed(store):
    events = store.subscribe("a")
    assert store.subscribers("a") == 1
    events.close()
    events.close()
    assert events.closed
    assert store.subscribers("a") == 0
    assert list(events) == []
    for call in (events.next, events.read, events.info, events.fileno, lambda: events.add("b")):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "closed" in repr(events)


def test_a_subscriber_that_nothing_refers_to_ends(store):
    events = store.subscribe("a")
    store["a"] = "1"
    events.next(10)
    assert store.subscribers("a") == 1
    del events
    assert store.subscribers("a") == 0


def test_without_read_access(store):
    with store.reopen("w") as writer:
        with pytest.raises(AccessError):
            writer.subscribe("a")


def test_keyboard_interrupt_ends_a_wait(store):
    for wait in (
        lambda: store.subscribe("a").next(),
        lambda: list(store.subscribe("a")),
        lambda: store.follow("a").refresh(None),
    ):
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            wait()
        timer.join()
    store["a"] = "still works"


def test_keyboard_interrupt_ends_a_publisher(store):
    with store.subscribe("a", lossless=True, max_len=1):
        store["a"] = "1"
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            store.publish("a", "2", wait=True)
        timer.join()
        assert store["a"] == "1"


def next_after_first(events):
    assert events.next(0).value == "1"
    assert events.next(1) is None


def test_a_signal_that_is_handled_prolongs_no_wait(store):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        with store.subscribe("a", lossless=True, max_len=1) as events:
            store["a"] = "1"
            for wait in (
                lambda: store.publish("a", "2", wait=True, timeout=1),
                lambda: next_after_first(events),
            ):
                heard.clear()
                timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
                begin = time.monotonic()
                timer.start()
                try:
                    wait()
                except TimeoutError:
                    pass
                took = time.monotonic() - begin
                timer.join()
                assert heard == [1]
                assert 1 <= took < 1 + 5 * SLOWNESS
    finally:
        signal.signal(signal.SIGUSR1, before)


def calls_of_read():
    """How many calls of read() this process has made."""
    with open("/proc/self/io") as file:
        return int(re.search(r"syscr: (\d+)", file.read())[1])


def test_mapped_events(store):
    with store.subscribe("a", max_len=8) as events:
        with pytest.raises(ArgumentError):
            events.map_events(2**30)
        events.map_events()
        with pytest.raises(BusyError):
            events.map_events()
        with pytest.raises(BusyError):
            events.set_queue(max_len=9)
        begin = calls_of_read()
        own = calls_of_read() - begin
        store["a"] = "1"
        begin = calls_of_read()
        assert events.next(10).value == "1"
        assert calls_of_read() - begin == own
        for value in "2" * 1000, "3":
            store["a"] = value
        assert [event.value for event in events.read(10)] == ["2" * 1000, "3"]
        for number in range(20):
            store["a"] = str(number)
        lost = events.next(10)
        assert (lost.type, lost.count) == (EventType.LOST, 12)
        assert [events.next(10).value for _ in range(8)] == [str(n) for n in range(12, 20)]
        assert events.next(0) is None
        info = events.info()
        assert (info.matched, info.delivered, info.lost) == (23, 11, 12)
    with store.reopen("r") as reader, reader.subscribe("a") as events:
        with pytest.raises(AccessError):
            events.map_events()
