# SPDX-License-Identifier: GPL-2.0
"""Stores and followers whose module is replaced: here it is only retired for a moment."""

import contextlib
import errno
import os

import pytest

import metastore

RETIRED = "/sys/module/metastore/parameters/retired"


@contextlib.contextmanager
def retired():
    """Nobody is served."""
    with open(RETIRED, "w") as parameter:
        parameter.write("1")
    try:
        yield
    finally:
        with open(RETIRED, "w") as parameter:
            parameter.write("0")


def test_renew(store):
    store["key"] = "value"
    fd = store.fileno()
    with retired():
        with pytest.raises(metastore.UnavailableError) as caught:
            store.get("key")
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(metastore.TimedOut):
            store.renew(0.05)
    store.renew(5)
    assert store.fileno() == fd
    assert store["key"] == "value"


def test_renew_of_a_private_store(store):
    with metastore.Store.private(store) as private:
        with pytest.raises(metastore.Error) as caught:
            private.renew(0)
        assert caught.value.errno == errno.ENOTSUP


def test_follower(store, until):
    store["a/1"] = "one"
    with store.follow(prefix="a/") as follower:
        fd = follower.fileno()
        with retired():
            follower.refresh()
            assert follower["a/1"] == "one"
            assert not follower.in_step
            assert follower.info().away == errno.ENODEV
        store.renew()
        store["a/1"] = "two"
        for change in follower.changes(timeout=60):
            if change.value == "two":
                break
        assert follower["a/1"] == "two"
        assert follower.fileno() == fd
        assert until(lambda: follower.refresh() == [] and follower.in_step)
        assert follower.info().renewals == 1


def test_close_of_a_follower_lets_the_device_go(store):
    device = os.stat("/dev/metastore")
    follower = store.follow(prefix="a/")
    traceback_holds = follower._handle
    follower.close()
    still_open = [
        fd for fd in os.listdir("/proc/self/fd")
        if os.path.exists("/proc/self/fd/" + fd)
        and os.stat("/proc/self/fd/" + fd).st_rdev == device.st_rdev
        and int(fd) != store.fileno()
    ]
    assert still_open == []
    del traceback_holds
