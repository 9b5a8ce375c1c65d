# SPDX-License-Identifier: GPL-2.0
"""bench.json: what report writes and all other scripts read."""

import json
import sys


def load(path):
    """The kernel and the rows by name; without them, a message and exit status 2."""
    try:
        with open(path, encoding="utf-8") as file:
            bench = json.load(file)
        kernel, rows = str(bench["kernel"]), {row["name"]: row for row in bench["rows"]}
        for row in rows.values():
            row["value"] = float(row["value"])
            if row["kind"] == "own" and not row["value"] > 0:
                raise ValueError("a row that costs nothing")
        return kernel, rows
    except OSError as error:
        problem = error.strerror
    except (ValueError, TypeError, KeyError) as error:
        problem = f"not a bench.json: {error!r}"
    print(f"{sys.argv[0]}: {path}: {problem}", file=sys.stderr)
    sys.exit(2)


def save(path, kernel, rows):
    """rows by name, in their order"""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"kernel": kernel, "rows": list(rows.values())}, file, indent=1)
        file.write("\n")
