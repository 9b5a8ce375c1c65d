# SPDX-License-Identifier: GPL-2.0
"""The examples of the page and of the docstrings are right."""

import doctest
import errno
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import metastore

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs/python.md"


def sections(text):
    """The examples of a page by the headings above them, in one session."""
    heading = "begin"
    found = {}
    for line in re.sub(r"^```\w*$", "", text, flags=re.M).splitlines():
        if re.match(r"#+ ", line):
            heading = line.lstrip("# ")
        found.setdefault(heading, []).append(line)
    return {name: "\n".join(lines) for name, lines in found.items() if ">>>" in "\n".join(lines)}


def run(name, text, names):
    parsed = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert parsed.examples
    told = []
    results = doctest.DocTestRunner().run(parsed, out=told.append, clear_globs=False)
    assert results.failed == 0, "".join(told)


@pytest.mark.parametrize("section", sections(PAGE.read_text()))
def test_page(section, store):
    run(section, sections(PAGE.read_text())[section], {"metastore": metastore, "store": store})


MODULES = ["metastore"] + [
    "metastore." + module.name for module in pkgutil.iter_modules(metastore.__path__)
]


def test_docstrings():
    run_at_all = 0
    for name in MODULES:
        for test in doctest.DocTestFinder().find(importlib.import_module(name)):
            if test.examples:
                run_at_all += 1
                told = []
                assert doctest.DocTestRunner().run(test, out=told.append).failed == 0, told
    assert run_at_all >= 1


def test_every_public_thing_is_described():
    for name in metastore.__all__:
        thing = getattr(metastore, name)
        if isinstance(thing, type):
            assert thing.__doc__, name
            for member, value in vars(thing).items():
                if callable(value) and not member.startswith("_"):
                    assert value.__doc__, f"{name}.{member}"


def test_the_page_names_every_error_and_its_errno():
    rows = dict(
        (row.group(1), set(re.findall(r"`(E[A-Z0-9]+)`", row.group(2))))
        for row in re.finditer(r"^\| `(\w+)`[^|]*\| ([^|]*)\|", PAGE.read_text(), re.M)
    )
    kinds = {
        name
        for name in metastore.__all__
        if isinstance(getattr(metastore, name), type)
        and issubclass(getattr(metastore, name), metastore.Error)
    }
    assert kinds <= set(rows)
    for code, kind in metastore.errors._CLASSES.items():
        name = errno.errorcode[code].replace("EWOULDBLOCK", "EAGAIN")
        assert name in rows[kind.__name__], name


def test_the_page_names_every_call():
    page = PAGE.read_text()
    for name in vars(metastore.Store):
        if not name.startswith("_") and name not in (
            "closed", "close", "fileno", "mode", "items", "values", "popitem", "setdefault",
        ):
            assert re.search(rf"\b{name}\(", page), name


def test_packaging_names_what_there_is():
    python = TOP / "userspace/python"
    project = (python / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*)"', project, re.M).group(1)
    library = re.search(r"^VERSION\s*:= (.*)", (TOP / "version.mk").read_text(), re.M)
    assert version == metastore.__version__ == library.group(1)
    assert (python / "metastore/py.typed").exists()
    for source in (python / "metastore").glob("*.py"):
        assert source.read_text().startswith("# SPDX-License-Identifier: LGPL-2.1-or-later\n")
