# SPDX-License-Identifier: GPL-2.0
"""Locks and held keys, between threads and processes; fork."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import metastore
from metastore import (
    ArgumentError,
    BusyError,
    End,
    EventFlags,
    LockLostError,
    Owner,
    Store,
    TimedOut,
    TooLongError,
)

from conftest import SLOWNESS


def run(program, *arguments):
    """Starts a program that has the store and what most need."""
    begin = "import os, sys, time, metastore\nstore = metastore.Store(text=True)\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )


def in_child(function):
    """Runs a function in a forked child; its status: what it returned, 99: it raised."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = function() or 0
        finally:
            os._exit(status)
    return pid


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_lock(store):
    lock = store.lock("lock", value="me")
    assert lock.number == lock.slot == 0
    assert not lock.held
    with lock as same:
        assert same is lock
        assert lock.held
        assert lock.slot == 1
        assert lock.number == store.stat("lock").version
        assert store["lock"] == "me"
        with pytest.raises(metastore.Error) as told:
            lock.acquire(0)
        assert told.value.errno == errno.EALREADY
        first = lock.number
        lock.store.set("lock", "still me", owned=True)
        assert lock.held
    assert "lock" not in store
    assert not lock.held
    with lock:
        assert lock.number > first
    lock.close()
    assert "closed" in repr(lock)
    with pytest.raises(ValueError, match="closed"):
        lock.acquire()


def test_entering_twice_keeps_the_lock(store):
    with store.lock("lock") as lock:
        with pytest.raises(metastore.Error):
            lock.__enter__()
        assert lock.held


def test_timeout(store):
    with store.lock("lock"):
        other = store.lock("lock", timeout=0.2)
        begin = time.monotonic()
        assert not other.acquire(0.2)
        assert time.monotonic() - begin >= 0.2
        with pytest.raises(TimedOut, match="lock"):
            other.__enter__()
        assert not other.acquire(0)
    assert other.acquire(0)
    other.release()
    other.release()


def test_close_releases_though_an_error_refers_to_the_lock(store):
    lock = store.lock("lock")
    lock.acquire()
    with pytest.raises(metastore.Error) as told:
        lock.acquire()
    lock.close()
    assert "lock" not in store
    assert told.value.__traceback__


def test_a_lock_that_nothing_refers_to_is_released(store):
    lock = store.lock("lock")
    lock.acquire()
    assert "lock" in store
    del lock
    assert "lock" not in store


def test_loss(store):
    with pytest.raises(LockLostError):
        with store.lock("lock") as lock:
            store.delete("lock", steal=True)
            assert not lock.held
    with pytest.raises(KeyError, match="body"):
        with store.lock("lock"):
            store.delete("lock", steal=True)
            raise KeyError("body")


def test_slots(store):
    one, two, three = (store.lock("room", slots=2) for _ in range(3))
    assert one.acquire(0) and two.acquire(0) and not three.acquire(0)
    assert {one.slot, two.slot} == {1, 2}
    with pytest.raises(BusyError) as told:
        store.lock("room", slots=3).acquire(0)
    assert told.value.errno == errno.EBUSY
    one.release()
    assert three.acquire(60)
    two.release()
    three.release()


def test_refused_arguments(store):
    for key, slots in (("", 1), ("a", -1), ("a", 65)):
        with pytest.raises(ArgumentError):
            store.lock(key, slots=slots)
    with pytest.raises(TooLongError) as told:
        store.lock("k" * 234)
    assert told.value.errno == errno.ENAMETOOLONG
    with pytest.raises(TooLongError):
        store.lock("a", value="x" * (store.info().max_value + 1))
    with store.reopen("r") as reader, pytest.raises(metastore.AccessError):
        reader.lock("a")


def test_keyboard_interrupt_leaves_the_queue(store):
    with store.lock("lock"):
        waiting = store.lock("lock")
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            with waiting:
                pass
        timer.join()
    with store.lock("lock", timeout=0):
        assert not waiting.held


def test_processes_exclude_each_other(store):
    program = """
for _ in range(30):
    with store.lock("lock"):
        n = int(store["n"])
        time.sleep(0.0005)
        store["n"] = str(n + 1)
"""
    store["n"] = "0"
    programs = [run(program) for _ in range(3)]
    assert [each.wait() for each in programs] == [0, 0, 0]
    for each in programs:
        each.communicate()
    assert store["n"] == "90"


def test_a_killed_holder_ends_its_lock(store):
    program = run('with store.lock("lock"):\n print("held", flush=True)\n sys.stdin.read()')
    assert program.stdout.readline() == "held\n"
    lock = store.lock("lock")
    assert not lock.acquire(0)
    program.kill()
    assert lock.acquire(60 * SLOWNESS)
    program.communicate()
    lock.release()


@pytest.mark.parametrize(
    "ending,how,code",
    [
        ("os.kill(os.getpid(), 9)", End.KILLED, 9),
        ("sys.exit(3)", End.EXITED, 3),
        ("os._exit(0)", End.EXITED, 0),
    ],
)
def test_end_of_an_owner(store, ending, how, code):
    with store.subscribe("service", events=metastore.Events.BY_OWNER) as events:
        program = run('hold = store.hold("service", "up")\n' + ending)
        event = events.next(60 * SLOWNESS)
        program.communicate()
        assert event.flags == EventFlags.OWNER
        assert event.value == "up"
        assert event.end == (how, program.pid, code)
        assert event.pid == program.pid


def test_hold(store):
    with store.hold("a", "1") as hold:
        assert store["a"] == "1"
        assert hold.held
        version = hold.set("2")
        assert store.get_version("a") == ("2", version)
        assert store.stat("a").owner is Owner.OTHER
        with pytest.raises(BusyError):
            store.hold("a", "3")
        with store.hold("a", "3", steal=True):
            assert not hold.held
            with pytest.raises(BusyError):
                hold.set("4")
    assert "a" not in store
    store["a"] = "1"
    with pytest.raises(metastore.ExistsError):
        store.hold("a", "2", create=True)
    with pytest.raises(metastore.ChangedError):
        store.hold("a", "2", if_version=1)
    with store.hold("a", "2", replace=True) as hold:
        store.delete("a", steal=True)
        assert not hold.held


def test_what_could_not_be_set_up_is_closed(store):
    def open_files():
        return store.user_info().kinds[metastore.UserKind.FILES].use

    before = open_files()
    store["a"] = "1"
    errors = []
    for attempt in (
        lambda: store.hold("a", "2", create=True),
        lambda: store.subscribe("k" * 256),
        lambda: store.subscribe("a", max_len=0),
        lambda: store.follow("k" * 256),
    ):
        with pytest.raises(metastore.Error) as told:
            attempt()
        errors.append(told.value)
    assert len(errors) == 4 and open_files() == before


def test_fork_shares_the_open_store(store):
    owner = store.reopen()
    owner.set("a", "1", owned=True)

    def child():
        owner.set("a", "2", owned=True)
        owner.close()
        return 0

    assert status_of(in_child(child)) == 0
    assert store["a"] == "2"
    owner.close()
    assert "a" not in store


def test_an_owned_key_ends_with_the_last_process(store):
    reader, writer = os.pipe()
    owner = store.reopen()
    owner.set("a", "1", owned=True)

    def child():
        os.close(writer)
        os.read(reader, 1)

    pid = in_child(child)
    owner.close()
    assert store["a"] == "1"
    os.close(writer)
    assert status_of(pid) == 0
    os.close(reader)
    assert "a" not in store


def test_a_child_does_not_release_the_parents_lock(store):
    lock = store.lock("lock")
    lock.acquire()

    def child():
        nonlocal lock
        lock.close()
        del lock

    assert status_of(in_child(child)) == 0
    assert lock.held
    lock.release()


def test_a_child_that_exits_normally_does_not_either(store):
    lock = store.lock("lock")
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        # As sys.exit() of a program would, but without pytest's own end.
        import atexit

        atexit._run_exitfuncs()
        os._exit(0)
    assert status_of(pid) == 0
    assert lock.held
    lock.release()


def test_processes_share_a_subscriber(store):
    results = store.reopen()
    jobs = store.subscribe("job", buffer=1, timeout=1 * SLOWNESS)

    def child():
        for event in jobs:
            results.incr("done")
            results.incr("by/%d" % os.getpid())

    children = [in_child(child) for _ in range(3)]
    for number in range(100):
        store["job"] = str(number)
    assert [status_of(pid) for pid in children] == [0, 0, 0]
    assert store["done"] == "100"
    jobs.close()


def test_a_descriptor_over_a_socket(store):
    with Store.private(text=True) as private:
        private["a"] = "1"
        ours, theirs = socket.socketpair()

        def child():
            _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
            with Store.from_fd(fds[0], text=True) as received:
                assert received.mode == "r"
                assert received["a"] == "1"
                try:
                    received["a"] = "2"
                except metastore.AccessError:
                    return 7

        pid = in_child(child)
        with private.reopen("r") as reader:
            socket.send_fds(ours, [b"x"], [reader.fileno()])
        assert status_of(pid) == 7
        ours.close()
        theirs.close()


def test_descriptors_are_closed_on_exec(store):
    lock = store.lock("lock")
    for each in (store, store.subscribe("a"), store.follow("a"), lock, lock.store):
        assert not os.get_inheritable(each.fileno())
    program = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True)
    assert "metastore" not in program.stdout


def test_a_program_needs_no_close(store):
    program = run(
        "events = store.subscribe('a')\nfollow = store.follow('a')\nlock = store.lock('l')\n"
        "lock.acquire()\nkeys = iter(store)\nbatch = store.batch()\nhold = store.hold('h', '1')\n"
        "store['a'] = '1'\nnext(keys)\n"
    )
    out, _ = program.communicate()
    assert (program.returncode, out) == (0, "")
    assert "a" in store and "l" not in store and "h" not in store


def test_nothing_is_left_open(store):
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for _ in range(50):
        with store.subscribe("a"), store.follow("a"), store.lock("l"), store.hold("h", "1"):
            pass
        store.reopen().close()
        Store.private().close()
        store.subscribe("a"), store.follow("a"), store.lock("l"), store.hold("h", "1")
    assert open_files() == before
    assert store.subscribers("a") == 0
