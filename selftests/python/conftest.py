# SPDX-License-Identifier: GPL-2.0
"""Fixtures of all tests, and a line of KTAP for each test on standard output."""

import os
import sys
import time

import pytest

import metastore

#: How many times as slow as usual all is.
SLOWNESS = int(os.environ.get("SLOWNESS", "1"))


class Ktap:
    """Prints KTAP in place of pytest's own report."""

    def __init__(self):
        self.number = 0
        self.failed = {}

    @staticmethod
    def say(text):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def pytest_collection_finish(self, session):
        self.say("TAP version 13\n1..%d" % len(session.items))

    def pytest_collectreport(self, report):
        if report.failed:
            self.comment(report.longreprtext)

    def comment(self, text):
        for line in text.splitlines():
            self.say("# " + line)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.comment(report.longreprtext)
            self.comment(report.capstdout + report.capstderr)
            self.failed[report.nodeid] = True
        if report.skipped:
            self.result("ok", report, " # SKIP " + report.longrepr[2])
        elif report.when == "teardown" and not report.skipped:
            # A test may be skipped as it is set up: it has had its line.
            if report.nodeid not in self.failed and not hasattr(report, "was_skipped"):
                self.result("ok", report)
            elif report.nodeid in self.failed:
                self.result("not ok", report)

    def result(self, verdict, report, more=""):
        self.number += 1
        name = report.nodeid.partition("::")[2] or report.nodeid
        self.say("%s %d %s%s" % (verdict, self.number, name.replace("#", ""), more))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped:
        item.was_skipped = True
    elif getattr(item, "was_skipped", False):
        report.was_skipped = True


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Ktap())


@pytest.fixture(autouse=True)
def empty():
    """Each test begins with an empty store."""
    with metastore.Store() as store:
        store.flush(steal=True)


@pytest.fixture
def store():
    """The default store, as text."""
    with metastore.Store(text=True) as store:
        yield store


@pytest.fixture
def raw():
    """The default store, as bytes."""
    with metastore.Store() as store:
        yield store


@pytest.fixture
def until():
    """Waits until a function returns something true, and returns that."""

    def wait(function):
        end = time.monotonic() + 60 * SLOWNESS
        while True:
            answer = function()
            if answer:
                return answer
            assert time.monotonic() < end, "in vain"
            time.sleep(0.01)

    return wait
