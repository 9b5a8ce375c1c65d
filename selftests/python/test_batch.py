# SPDX-License-Identifier: GPL-2.0
"""Batches."""

import errno

import pytest

import metastore
from metastore import (
    AbsentError,
    ArgumentError,
    BatchError,
    ChangedError,
    ExistsError,
    Owner,
    TooLongError,
)


def test_each_operation(store):
    version = store.set("old", "1", ttl=100)
    with store.subscribe("pub"), store.batch() as batch:
        read = batch.get("old")
        none = batch.get("none")
        was_set = batch.set("new", "2", create=True)
        published = batch.publish("pub", "3", owned=True)
        touched = batch.touch("old", 200)
        deleted = batch.delete("old", if_version=version, previous=True)
        failed = batch.set("new", "4", create=True)
        replaced = batch.set("new", "5", previous=True)
        fresh = batch.publish("newer", "6", previous=True)
    assert len(batch) == 9 and batch.ran
    assert (read.value, read.version, read.owner) == ("1", version, Owner.NONE)
    assert 90 < read.ttl <= 100
    assert type(none.error) is AbsentError and none.error.filename == "none"
    with pytest.raises(KeyError):
        none.value
    assert was_set.error is None and was_set.version > 0
    assert published.queues == 1
    assert touched.check() is touched and touched.version == version
    assert (deleted.previous.value, deleted.previous.version) == ("1", version)
    assert type(failed.error) is ExistsError
    assert failed.error.version == failed.version == was_set.version
    assert replaced.previous.value == "2"
    assert fresh.previous is None
    assert store == {"new": "5", "pub": "3", "newer": "6"}
    assert store.stat("pub").owner is Owner.SELF
    with pytest.raises(TypeError):
        was_set.value
    with pytest.raises(TypeError):
        was_set.previous


def test_atomic(store):
    store["a"] = "1"
    with store.batch(atomic=True) as batch:
        a = batch.get("a")
        batch.get("none")
        batch.set("b", "2")
    assert a.value == "1" and store["b"] == "2"


def test_atomic_failure_changes_nothing(store):
    version = store.set("a", "1")
    with pytest.raises(BatchError) as told:
        with store.batch(atomic=True) as batch:
            one = batch.set("b", "2")
            two = batch.set("a", "2", if_version=version - 1)
    assert told.value.errno == errno.ECANCELED
    assert told.value.index == 1
    cause = told.value.__cause__
    assert type(cause) is ChangedError
    assert (cause.filename, cause.version) == ("a", version)
    assert type(one.error) is BatchError and type(two.error) is ChangedError
    assert store == {"a": "1"}


def test_atomic_limits(store):
    batch = store.batch(atomic=True)
    for number in range(129):
        batch.set("k%d" % number, "x")
    with pytest.raises(ArgumentError):
        batch.run()
    batch = store.batch(atomic=True)
    for number in range(40):
        batch.set("%d%s" % (number, "k" * 250), "x")
    with pytest.raises(TooLongError) as told:
        batch.run()
    assert told.value.errno == errno.EMSGSIZE
    batch = store.batch(atomic=True)
    batch.set("a", "1")
    batch.set("a", "2")
    with pytest.raises(ArgumentError):
        batch.run()
    assert len(store) == 0


def test_at_most_256(store):
    batch = store.batch()
    for number in range(256):
        batch.set("k%d" % number, "x")
    with pytest.raises(TooLongError) as told:
        batch.get("one more")
    assert told.value.errno == errno.E2BIG
    batch.run()
    assert len(store) == 256


def test_size(store):
    store["a"] = "x" * 5000
    with store.batch() as batch:
        short = batch.get("a")
        enough = batch.get("a", size=5000)
        kept = batch.set("a", "y", previous=True)
    assert type(short.error) is TooLongError and short.error.errno == errno.ERANGE
    assert enough.value == "x" * 5000
    assert type(kept.error) is TooLongError
    assert store["a"] == "x" * 5000


def test_runs_again(store):
    batch = store.batch()
    store["n"] = "1"
    n = batch.get("n")
    with pytest.raises(ValueError, match="has not run"):
        n.value
    batch.run()
    assert n.value == "1"
    store["n"] = "22"
    batch.run()
    assert n.value == "22"
    batch.set("m", "3")
    with pytest.raises(ValueError):
        n.value


def test_a_body_that_raises_runs_nothing(store):
    with pytest.raises(RuntimeError):
        with store.batch() as batch:
            batch.set("a", "1")
            raise RuntimeError
    assert "a" not in store
    store.batch().run()


def test_what_is_refused_at_once(store):
    batch = store.batch()
    with pytest.raises(TypeError):
        batch.set("a", b"1")
    with pytest.raises(ValueError, match="ttl"):
        batch.touch("a", 0)
    batch.set("", "1")
    batch.run()
    assert type(batch.operations[0].error) is ArgumentError


def test_subscribers_see_an_atomic_batch_as_one(store):
    with store.subscribe(prefix="") as events:
        with store.batch(atomic=True) as batch:
            for key in "abc":
                batch.set(key, "1")
        flags = [event.flags for event in events.read(10)]
    more = metastore.EventFlags.MORE
    assert flags == [more, more, 0]
