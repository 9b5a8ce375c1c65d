# SPDX-License-Identifier: GPL-2.0
"""The calls that change keys and tell about them: every option and errno."""

import errno
import gc
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

import metastore
from metastore import (
    AbsentError,
    AccessError,
    ArgumentError,
    BusyError,
    ChangedError,
    Error,
    Events,
    ExistsError,
    LimitError,
    NumberError,
    Owner,
    Store,
    TimedOut,
    TooLongError,
    UnlimitedError,
    UnsupportedError,
)


def refused(kind, code, call, *arguments, **options):
    """The error of a call, which must be of a class and an errno."""
    with pytest.raises(kind) as told:
        call(*arguments, **options)
    assert type(told.value) is kind
    assert told.value.errno == code
    return told.value


def test_versions_increase(store):
    first = store.set("a", "1")
    second = store.publish("a", "2").version
    third = store.delete("a")
    fourth = store.set("a", "3")
    assert 0 < first < second < third < fourth
    assert store.get_version("a") == ("3", fourth)


def test_create(store):
    version = store.set("a", "1", create=True)
    error = refused(ExistsError, errno.EEXIST, store.set, "a", "2", create=True)
    assert error.version == version
    assert error.filename == "a"
    assert store["a"] == "1"
    refused(ExistsError, errno.EEXIST, store.publish, "a", "2", create=True)
    refused(ExistsError, errno.EEXIST, store.swap, "a", "2", create=True)


def test_replace(store):
    for change in (store.set, store.publish, store.swap):
        refused(AbsentError, errno.ENOENT, change, "a", "1", replace=True)
    store["a"] = "1"
    store.set("a", "2", replace=True)
    assert store["a"] == "2"


def test_if_version(store):
    version = store.set("a", "1")
    newer = store.set("a", "2", if_version=version)
    error = refused(ChangedError, errno.ESTALE, store.set, "a", "3", if_version=version)
    assert error.version == newer
    assert store["a"] == "2"
    refused(ChangedError, errno.ESTALE, store.delete, "a", if_version=version)
    refused(ChangedError, errno.ESTALE, store.take, "a", if_version=version)
    refused(ChangedError, errno.ESTALE, store.publish, "a", "3", if_version=0)
    store.delete("a", if_version=newer)
    error = refused(ChangedError, errno.ESTALE, store.set, "a", "3", if_version=newer)
    assert error.version == 0
    store.set("a", "4", if_version=0)
    assert store["a"] == "4"


def test_two_conditions(store):
    refused(ArgumentError, errno.EINVAL, store.set, "a", "1", create=True, replace=True)
    refused(ArgumentError, errno.EINVAL, store.set, "a", "1", create=True, if_version=1)


def test_owned_and_steal(store):
    with store.reopen() as owner:
        owner.set("a", "1", owned=True)
        assert owner.stat("a").owner is Owner.SELF
        assert store.stat("a").owner is Owner.OTHER
        refused(BusyError, errno.EBUSY, store.set, "a", "2")
        refused(BusyError, errno.EBUSY, store.publish, "a", "2")
        refused(BusyError, errno.EBUSY, store.delete, "a")
        refused(BusyError, errno.EBUSY, store.take, "a")
        refused(BusyError, errno.EBUSY, store.swap, "a", "2")
        refused(BusyError, errno.EBUSY, store.touch, "a", 1)
        refused(BusyError, errno.EBUSY, store.incr, "a")
        assert store["a"] == "1"
        store.set("a", "2", steal=True)
        assert store.get_info("a").owner is Owner.NONE
        owner.set("b", "1", owned=True)
        store.delete("b", steal=True)
        owner.set("b", "2", owned=True)
        assert store.take("b", steal=True).value == "2"
        owner.set("c", "1", owned=True)
    assert dict(store) == {"a": "2"}


def test_ttl(store, until):
    store.set("a", "1", ttl=0.2)
    assert 0 < store.stat("a").ttl <= 0.2
    assert 0 < store.get_info("a").ttl <= 0.2
    until(lambda: "a" not in store)
    store.set("a", "1", ttl=timedelta(minutes=1))
    assert 50 < store.stat("a").ttl <= 60
    store.set("a", "2", keep_ttl=True)
    assert 50 < store.stat("a").ttl <= 60
    store["a"] = "3"
    assert store.stat("a").ttl is None
    store.set("a", "4", ttl=2**40 / 1000)


@pytest.mark.parametrize("ttl", [0, -1, 2**40 / 1000 + 1, float("inf"), float("nan")])
def test_ttl_out_of_range(store, ttl):
    for call in (
        lambda: store.set("a", "1", ttl=ttl),
        lambda: store.touch("a", ttl),
        lambda: store.incr("a", ttl=ttl),
    ):
        with pytest.raises(ValueError, match="ttl"):
            call()
    assert "a" not in store


def test_a_ttl_is_rounded_up(store):
    with store.batch() as batch:
        batch.set("a", "1", ttl=0.0001)
    assert batch.operations[0].error is None
    refused(ArgumentError, errno.EINVAL, store.set, "a", "1", ttl=1, keep_ttl=True)


def test_touch(store):
    version = store.set("a", "1", ttl=1)
    assert store.touch("a", 100) == version
    assert 90 < store.stat("a").ttl <= 100
    assert store.touch("a", 200, if_version=version) == version
    error = refused(ChangedError, errno.ESTALE, store.touch, "a", 1, if_version=version - 1)
    assert error.version == version
    store["b"] = "1"
    refused(UnlimitedError, errno.ENODATA, store.touch, "b", 1)
    refused(AbsentError, errno.ENOENT, store.touch, "none", 1)


def test_swap(store):
    assert store.swap("a", "1") is None
    version = store.stat("a").version
    before = store.swap("a", "2")
    assert (before.value, before.version, before.owner) == ("1", version, Owner.NONE)
    assert store["a"] == "2"
    store.swap("a", "3", owned=True)
    assert store.swap("a", "4", owned=True).owner is Owner.SELF


def test_take(store):
    version = store.set("a", "1")
    taken = store.take("a")
    assert (taken.value, taken.version) == ("1", version)
    refused(AbsentError, errno.ENOENT, store.take, "a")
    version = store.set("a", "2")
    assert store.take("a", if_version=version).value == "2"


def test_publish(store):
    assert store.publish("a", "1").queues == 0
    with store.subscribe("a") as one, store.subscribe(prefix="") as two:
        answer = store.publish("a", "2", previous=True)
        assert answer.queues == 2
        assert answer.previous.value == "1"
        assert answer.version == store.stat("a").version
        assert one.next(10).value == two.next(10).value == "2"
    assert store.publish("b", "1", previous=True).previous is None
    assert store.publish("b", "2").previous is None


def test_publish_waits(store):
    with store.subscribe("a", lossless=True, max_len=1) as events:
        assert store.publish("a", "1", wait=True).queues == 1
        refused(TimedOut, errno.EAGAIN, store.publish, "a", "2", wait=True, timeout=0)
        begin = time.monotonic()
        error = refused(TimedOut, errno.ETIMEDOUT, store.publish, "a", "2", wait=True, timeout=0.3)
        assert time.monotonic() - begin >= 0.3
        assert isinstance(error, TimeoutError)
        assert store["a"] == "1"
        thread = threading.Thread(target=lambda: store.publish("a", "3", wait=True))
        thread.start()
        assert [events.next(60).value for _ in range(2)] == ["1", "3"]
        thread.join()
    with pytest.raises(TypeError, match="wait"):
        store.publish("a", "1", timeout=1)


def test_incr(store):
    assert store.incr("n") == 1
    assert store.incr("n", 41) == 42
    assert store.incr("n", -50) == -8
    assert store["n"] == "-8"
    store["n"] = str(2**63 - 1)
    refused(NumberError, errno.ERANGE, store.incr, "n")
    refused(NumberError, errno.ERANGE, store.incr, "n", 2**63)
    for value in ("x", "", "007", " 1", "1.5"):
        store["n"] = value
        error = refused(NumberError, errno.EBADMSG, store.incr, "n")
        assert isinstance(error, ValueError)
    assert store.incr("new", 5, ttl=100, owned=True) == 5
    assert store.stat("new").owner is Owner.SELF
    assert store.stat("new").ttl > 90


def test_incr_loses_nothing(store):
    threads = [
        threading.Thread(target=lambda: [store.incr("n") for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store["n"] == "400"


def test_flush(store):
    store.update({"net/a": "1", "net/b": "2", "x": "3"})
    with store.hold("net/mine", "4"):
        assert store.flush("net/") == (2, 0)
        assert set(store) == {"net/mine", "x"}
        assert store.flush("net/", steal=True).values == 1
    with store.subscribe("x") as events:
        flushed = store.flush(subscriptions=True)
        assert flushed.values == 1
        assert flushed.subscriptions == 1
        assert [event.type.name for event in events.read(10)] == ["DELETED", "FLUSHED"]
        assert events.subscriptions[0].key == "x"
    store["y"] = "1"
    assert store.flush(bucket=store.bucket("y")).values == 1
    refused(NumberError, errno.ERANGE, store.flush, bucket=10**6)


def test_stat(store):
    before = time.time_ns()
    version = store.set("a", "größe")
    stat = store.stat("a")
    assert stat.version == version
    assert stat.size == 7
    assert before - 10**9 <= stat.time_ns <= time.time_ns() + 10**9
    assert stat.ttl is None
    assert stat.pid == os.getpid()
    assert stat.uid == os.getuid()
    assert stat.owner is Owner.NONE
    assert stat.subscribers == 0
    assert stat.bucket == store.bucket("a") < store.info().buckets
    refused(AbsentError, errno.ENOENT, store.stat, "none")
    entry = store.get_info("a")
    assert (entry.key, entry.value, entry.version) == ("a", "größe", version)
    assert (entry.pid, entry.uid, entry.time_ns) == (stat.pid, stat.uid, stat.time_ns)
    refused(AbsentError, errno.ENOENT, store.get_info, "none")
    refused(AbsentError, errno.ENOENT, store.get_version, "none")


def test_list(store):
    for number in range(1000):
        store["net/%d" % number] = "x" * number
    store["other"] = "y"
    listed = {item.key: item for item in store.list("net/")}
    assert len(listed) == 1000
    assert all(item.size == int(key[4:]) for key, item in listed.items())
    assert listed["net/7"].version == store.stat("net/7").version
    assert len(list(store.list())) == 1001
    entries = {entry.key: entry.value for entry in store.list_values("net/1")}
    assert len(entries) == 111
    assert all(len(value) == int(key[4:]) for key, value in entries.items())
    (entry,) = store.list_values("other")
    assert (entry.value, entry.pid, entry.ttl) == ("y", os.getpid(), None)
    bucket = store.bucket("other")
    assert "other" in [item.key for item in store.list(bucket=bucket)]
    assert list(store.list("none")) == []
    refused(NumberError, errno.ERANGE, lambda: list(store.list(bucket=10**6)))
    refused(ArgumentError, errno.EINVAL, lambda: list(store.list("x" * 256)))


def test_info(store):
    store["a"] = "1"
    info = store.info()
    assert info.keys == 1
    assert info.bytes > 2
    assert info.key_max == 255
    assert info.features & metastore.Features.USERS
    assert store.info(store.bucket("a")).keys == 1
    assert sum(store.info(bucket).keys for bucket in range(info.buckets)) == 1
    refused(NumberError, errno.ERANGE, store.info, info.buckets)
    with store.subscribe("a"), store.subscribe(prefix="a"):
        assert store.subscribers("a") == 2
        assert store.subscribers("b") == 0
        assert store.info().subscriptions == 2


def test_users(store):
    with store.hold("a", "1"):
        user = store.user_info()
        assert user.uid == os.getuid()
        assert user.kinds[metastore.UserKind.OWNED_KEYS].use == 1
        assert user.kinds[metastore.UserKind.FILES].use >= 2
        assert user.kinds[metastore.UserKind.FILES].limit == 8192
        assert user.uid in [each.uid for each in store.users()]
    assert store.user_info().kinds[metastore.UserKind.OWNED_KEYS].use == 0


def test_private(store):
    with Store.private(text=True) as one, Store.private() as two:
        one["a"] = "1"
        assert len(two) == 0 and "a" not in store
        two[b"a"] = b"2"
        assert one["a"] == "1"
    with Store.private(store, text=True, max_keys=16, max_value=4096, buckets=1) as small:
        info = small.info()
        assert (info.max_keys, info.max_value, info.buckets) == (16, 4096, 1)
        for number in range(16):
            small[str(number)] = "x"
        refused(LimitError, errno.ENOSPC, small.set, "one more", "x")
        refused(TooLongError, errno.EMSGSIZE, small.set, "1", "x" * 4097)
        with small.reopen("r") as reader:
            assert reader["3"] == "x"
            refused(AccessError, errno.EBADF, reader.set, "3", "y")
    refused(ArgumentError, errno.EINVAL, Store.private, queue_len=2**31)
    with pytest.raises(TypeError, match="no such limit: keys"):
        Store.private(keys=5)


def is_mapped():
    return "anon_inode:[metastore]" in Path("/proc/self/maps").read_text()


def test_map(store):
    refused(Error, errno.EOPNOTSUPP, store.map)
    with Store.private(text=True, mapped=True) as private:
        private["a"] = "1"
        private["long"] = "x" * 1000
        private.set("owned", "2", owned=True)
        assert not is_mapped()
        private.map()
        assert is_mapped()
        assert private["a"] == "1"
        assert private["long"] == "x" * 1000
        assert private["owned"] == "2"
        private["a"] = "3"
        assert private["a"] == "3"
        del private["a"]
        refused(AbsentError, errno.ENOENT, lambda: private["a"])
        with private.reopen("w") as writer:
            refused(AccessError, errno.EACCES, writer.map)
    gc.collect()  # tracebacks of the errors refer to it
    assert not is_mapped()


def test_paths(tmp_path, store, monkeypatch):
    store["a"] = "1"
    assert Store("/dev/metastore")[b"a"] == b"1"
    with Store.private(text=True) as private:
        private["a"] = "2"
        assert Store("fd:%d" % private.fileno(), text=True)["a"] == "2"
        monkeypatch.setenv("METASTORE_STORE", "fd:%d" % private.fileno())
        assert Store(text=True)["a"] == "2"
        monkeypatch.delenv("METASTORE_STORE")
        twin = Store.from_fd(os.dup(private.fileno()), text=True)
        assert twin["a"] == "2"
    with pytest.raises(metastore.UnavailableError) as told:
        Store(tmp_path / "none")
    assert told.value.errno == errno.ENOENT
    assert "is the module metastore loaded?" in str(told.value)
    refused(AccessError, errno.EBADF, Store, "fd:999")
    refused(AccessError, errno.EBADF, Store.from_fd, -1)
    refused(UnsupportedError, errno.ENOTTY, lambda: Store("/dev/null", text=True)["a"])
    refused(ArgumentError, errno.EINVAL, store.subscribe, "a", events=Events(1 << 9))


def test_each_errno_has_its_class():
    for code, kind in metastore.errors._CLASSES.items():
        error = metastore.errors.error_of(code, "key")
        assert type(error) is kind
        assert isinstance(error, metastore.Error) and isinstance(error, OSError)
        assert (error.errno, error.filename) == (code, "key")
        assert errno.errorcode[code].replace("EWOULDBLOCK", "EAGAIN") in kind.__doc__
    assert type(metastore.errors.error_of(errno.ENOMEM)) is metastore.Error
    assert metastore.errors.error_of(errno.ENOMEM).strerror == os.strerror(errno.ENOMEM)
