#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# needs: pytest-3 (python3-pytest)
#
# The Python binding: the tests of python/, and the examples of its docstrings and of
# docs/python.md, by Debian's pytest. python/conftest.py prints a line of KTAP for each.

# Sources are read from the host by 9p, and compiled once.
export PYTHONPATH=$PWD/../userspace/python PYTHONDONTWRITEBYTECODE=1
exec pytest-3 -p no:cacheprovider --tb=short -c python/pytest.ini --rootdir python python "$@"
