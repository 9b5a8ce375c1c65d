# SPDX-License-Identifier: GPL-2.0
"""Store as a mapping."""

import copy
import pickle
import threading
from collections.abc import MutableMapping

import pytest

import metastore
from metastore import AbsentError, ArgumentError, BusyError, Store


def test_get_set_delete(store):
    store["door"] = "open"
    assert store["door"] == "open"
    assert "door" in store
    assert len(store) == 1
    store["door"] = "shut"
    assert store["door"] == "shut"
    del store["door"]
    assert "door" not in store
    assert len(store) == 0


def test_absent_key_is_a_key_error_and_an_os_error(store):
    with pytest.raises(KeyError) as told:
        store["none"]
    assert type(told.value) is AbsentError
    assert isinstance(told.value, OSError)
    assert told.value.filename == "none"
    assert str(told.value) == "[Errno 2] No such key or subscription: 'none'"
    with pytest.raises(KeyError):
        del store["none"]
    assert store.get("none") is None
    assert store.get("none", "x") == "x"


def test_is_a_mutable_mapping(store):
    assert isinstance(store, MutableMapping)
    store.update({"a": "1"}, b="2")
    assert dict(store) == {"a": "1", "b": "2"}
    assert store == {"a": "1", "b": "2"}
    assert store != {"a": "1"}
    assert sorted(store) == ["a", "b"]
    assert sorted(store.keys()) == ["a", "b"]
    assert sorted(store.values()) == ["1", "2"]
    assert sorted(store.items()) == [("a", "1"), ("b", "2")]
    assert ("a", "1") in store.items()
    assert ("a", "2") not in store.items()
    assert "2" in store.values()


def test_an_empty_store_is_true(store):
    assert len(store) == 0
    assert store


def test_pop(store):
    store["a"] = "1"
    assert store.pop("a") == "1"
    assert "a" not in store
    with pytest.raises(KeyError):
        store.pop("a")
    assert store.pop("a", None) is None
    assert store.pop("a", "x") == "x"


def test_pop_gives_a_value_to_one_of_several(store):
    taken = []

    def take():
        while True:
            value = store.pop("job", None)
            if value == "end":
                store["job"] = "end"
                return
            if value is not None:
                taken.append(value)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        while True:
            try:
                store.set("job", str(number), create=True)
                break
            except metastore.ExistsError:
                pass
    while "job" in store:
        pass
    store["job"] = "end"
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == [str(number) for number in range(100)]


def test_popitem(store):
    store.update(a="1", b="2")
    assert dict([store.popitem(), store.popitem()]) == {"a": "1", "b": "2"}
    with pytest.raises(KeyError):
        store.popitem()


def test_setdefault(store):
    assert store.setdefault("a", "1") == "1"
    assert store.setdefault("a", "2") == "1"
    assert store["a"] == "1"


def test_clear_leaves_what_others_own(store):
    with store.hold("mine", "1"):
        store["free"] = "2"
        store.clear()
        assert dict(store) == {"mine": "1"}
        with pytest.raises(KeyError):
            store.popitem()
        with pytest.raises(BusyError):
            store.pop("mine")


def test_items_while_others_delete(store):
    for number in range(500):
        store["key%d" % number] = "value" * 200
    seen = 0
    for key, value in store.items():
        assert value == "value" * 200
        if seen == 0:
            store.clear()
        seen += 1
    assert 1 <= seen < 500


def test_every_byte(raw):
    every = bytes(range(256))
    for key in (every[:255], b"\0", b"\xff" * 255, every[1:]):
        raw[key] = every * 20
        assert raw[key] == every * 20
    assert set(raw) == {every[:255], b"\0", b"\xff" * 255, every[1:]}
    raw[b"empty"] = b""
    assert raw[b"empty"] == b""


def test_bytes_like(raw):
    raw[bytearray(b"key")] = memoryview(b"value")
    assert raw[b"key"] == b"value"


def test_text_keeps_bytes_that_are_no_text(raw, store):
    raw[b"\xff\xfe"] = b"caf\xe9"
    (key,) = store
    assert key == "\udcff\udcfe"
    store[key] = store[key]
    assert raw[b"\xff\xfe"] == b"caf\xe9"
    store["größe"] = "\N{SNOWMAN}\0x"
    assert raw["größe".encode()] == "\N{SNOWMAN}\0x".encode()
    assert store["größe"] == "\N{SNOWMAN}\0x"


@pytest.mark.parametrize("bad", [1, None, 1.5, ["a"]])
def test_wrong_types(store, raw, bad):
    for mapping, good in ((store, "good"), (raw, b"good")):
        with pytest.raises(TypeError):
            mapping[bad]
        with pytest.raises(TypeError):
            mapping[bad] = good
        with pytest.raises(TypeError):
            mapping[good] = bad
    assert len(store) == 0


def test_text_and_bytes_do_not_mix(store, raw):
    with pytest.raises(TypeError, match="must be str"):
        store[b"key"] = "value"
    with pytest.raises(TypeError, match=r"bytes \(for str use"):
        raw["key"] = b"value"


def test_length_of_keys(store):
    store["k" * 255] = "longest"
    assert store["k" * 255] == "longest"
    for key in ("", "k" * 256):
        with pytest.raises(ArgumentError) as told:
            store[key] = "value"
        assert isinstance(told.value, ValueError)
        with pytest.raises(ArgumentError):
            store[key]


def test_values_of_all_lengths(raw):
    longest = raw.info().max_value
    for length in (0, 1, 1023, 1024, 1025, 5000, longest):
        raw[b"key"] = b"x" * length
        assert raw[b"key"] == b"x" * length
        assert raw.get_info(b"key").value == b"x" * length
        assert raw.swap(b"key", b"new").value == b"x" * length
        raw[b"key"] = b"y" * length
        assert raw.take(b"key").value == b"y" * length
    with pytest.raises(metastore.TooLongError):
        raw[b"key"] = b"x" * (longest + 1)


def test_close(store):
    other = Store(text=True)
    assert not other.closed
    other.close()
    other.close()
    assert other.closed
    for call in (
        lambda: other["a"],
        lambda: other.fileno(),
        lambda: other.subscribe("a"),
        lambda: list(other),
        lambda: other.reopen(),
        lambda: other.batch(),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "closed" in repr(other)
    with Store() as third:
        pass
    assert third.closed


def test_a_list_ends_with_the_store(store):
    for number in range(1000):
        store["key%d" % number] = "x"
    other = store.reopen()
    keys = iter(other)
    next(keys)
    other.close()
    with pytest.raises(ValueError, match="closed"):
        list(keys)


def test_close_ends_what_is_owned_though_an_error_refers_to_the_store(store):
    owner = store.reopen()
    owner.set("a", "1", owned=True)
    with pytest.raises(AbsentError) as told:
        owner["none"]
    owner.close()
    assert "a" not in store
    assert told.value.__traceback__


def test_a_store_that_nothing_refers_to_is_closed(store):
    owner = store.reopen()
    owner.set("a", "1", owned=True)
    del owner
    assert "a" not in store


def test_no_pickle_and_no_copy(store):
    with pytest.raises(TypeError):
        pickle.dumps(store)
    with pytest.raises(TypeError):
        copy.deepcopy(store)
    with pytest.raises(TypeError, match="reopen"):
        copy.copy(store)


def test_modes(store):
    store["a"] = "1"
    assert store.mode == "rw"
    with store.reopen("r") as reader, store.reopen("w") as writer:
        assert reader.mode == "r"
        assert reader["a"] == "1"
        with pytest.raises(metastore.AccessError):
            reader["a"] = "2"
        assert isinstance(pytest.raises(PermissionError, reader.pop, "a").value, metastore.Error)
        writer["a"] = "2"
        with pytest.raises(metastore.AccessError):
            writer["a"]
        with pytest.raises(metastore.AccessError):
            reader.reopen("rw")
        assert reader.reopen().mode == "r"
    with pytest.raises(ValueError, match="mode"):
        store.reopen("x")
    assert "rw" in repr(store) and "text" in repr(store)
