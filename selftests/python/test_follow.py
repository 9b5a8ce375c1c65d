# SPDX-License-Identifier: GPL-2.0
"""Followers."""

import threading
import time

import pytest

import metastore


def drain(copy):
    return [change for some in iter(copy.refresh, []) for change in some]


def test_the_copy_is_complete_and_moves_only_when_told(store):
    store.update({"net/a": "1", "net/b": "2", "other": "3"})
    with store.follow(prefix="net/") as copy:
        assert copy == {"net/a": "1", "net/b": "2"}
        assert copy.in_step
        store["net/a"] = "4"
        assert copy["net/a"] == "1"
        (change,) = copy.refresh()
        assert (change.key, change.value, change.deleted) == ("net/a", "4", False)
        assert change.version == store.stat("net/a").version
        assert change.event.pid > 0
        assert copy["net/a"] == "4"
        del store["net/b"]
        (change,) = copy.refresh()
        assert (change.key, change.value, change.deleted) == ("net/b", "2", True)
        assert "net/b" not in copy
        assert copy.refresh() == []
        assert len(copy) == 1 and list(copy) == ["net/a"]
        with pytest.raises(KeyError) as told:
            copy["net/b"]
        assert told.value.args == ("net/b",)
        assert copy.get("net/b") is None
    assert copy["net/a"] == "4"
    assert copy.closed
    with pytest.raises(ValueError, match="closed"):
        copy.refresh()


def test_changes(store):
    with store.follow("a") as copy:
        threading.Timer(0.2, store.set, ("a", "1")).start()
        for change in copy.changes():
            assert change.value == copy["a"] == "1"
            break
        assert list(copy.changes(timeout=0.1)) == []
        store["a"] = "2"
        assert [change.value for change in copy.changes(timeout=0)] == ["2"]


def test_only_the_newest_or_each(store):
    for each, told in ((False, ["9"]), (True, [str(number) for number in range(10)])):
        with store.follow("a", each=each) as copy:
            for number in range(10):
                store["a"] = str(number)
            assert [change.value for change in copy.refresh()] == told


def test_keys_are_added(store):
    store.update(a="1", b="2", c1="3", c2="4")
    with store.follow("a") as copy:
        copy.add("b")
        copy.add(prefix="c")
        copy.refresh()
        assert copy == dict(store)
        assert copy.in_step
        assert copy.info().keys == 4
        with pytest.raises(TypeError):
            copy.add()
    with store.follow() as copy:
        assert copy == {}
        copy.add("none")
        assert copy.refresh() == []
        assert copy == {}


def test_recovery_from_losses(store):
    store["gone"] = "x"
    with store.follow(prefix="", each=True) as copy:
        del store["gone"]
        for number in range(1500):
            store["k%d" % (number % 50)] = str(number)
        first = next(copy.changes(0))
        assert not copy.in_step
        deleted = [change for change in [first] + drain(copy) if change.deleted]
        assert copy == dict(store)
        assert copy.in_step
        info = copy.info()
        assert info.lost > 0 and info.recoveries >= 1 and info.keys == 50
        assert [change.key for change in deleted] == ["gone"]


def test_recovery_from_a_flush(store):
    store["a"] = "1"
    with store.follow(prefix="") as copy:
        store.flush(subscriptions=True)
        store["b"] = "2"
        copy.refresh()
        assert copy == {"b": "2"}


def test_a_refresh_ends(store):
    with store.follow(prefix="", each=True) as copy:
        for number in range(1500):
            store["k%d" % number] = "x"
        sizes = [len(some) for some in iter(copy.refresh, [])]
        assert max(sizes) == 1024 and sum(sizes) >= 1500
        assert copy == dict(store)


def test_no_value(store):
    store["a"] = "1"
    with store.follow("a", no_value=True) as copy:
        assert copy == {"a": ""}


def test_under_a_writer(store):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            store["k%d" % (number % 20)] = str(number)
            if number % 7 == 0:
                store.pop("k%d" % (number % 20), None)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with store.follow(prefix="k") as copy:
            versions = {}
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for change in copy.refresh(1):
                    # A deletion found by comparison has the version that was told last.
                    newer = change.version + (change.event is None)
                    assert versions.get(change.key, 0) < newer
                    versions[change.key] = change.version
            stop.set()
            thread.join()
            drain(copy)
            assert copy == dict(store)
    finally:
        stop.set()
        thread.join()


def test_bytes(raw):
    raw[b"\xff"] = b"\0"
    with raw.follow(prefix=b"") as copy:
        assert copy == {b"\xff": b"\0"}
        assert repr(copy) == "<metastore.Follower of 1 keys>"
    assert isinstance(copy, metastore.Follower)
