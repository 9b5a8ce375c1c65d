# SPDX-License-Identifier: GPL-2.0
"""The binding's structures and numbers are those of metastore.h."""

import ctypes
import re
import subprocess
from pathlib import Path

import metastore
from metastore import _lib

HEADER = Path(__file__).resolve().parents[2] / "userspace/include/metastore.h"

STRUCTURES = {
    "Limits": "limits",
    "Previous": "previous",
    "Options": "options",
    "ValueInfo": "value_info",
    "Stat": "stat",
    "Info": "info",
    "UserKind": "user_kind",
    "UserInfo": "user_info",
    "SubscribeOptions": "subscribe_options",
    "SubscriptionInfo": "subscription_info",
    "QueueOptions": "queue_options",
    "QueueInfo": "queue_info",
    "FollowOptions": "follow_options",
    "FollowInfo": "follow_info",
    "LockOptions": "lock_options",
}

NUMBERS = [
    (_lib.Open, ""),
    (_lib.Write, ""),
    (_lib.Flush, "FLUSH_"),
    (_lib.Subscribe, "SUBSCRIBE_"),
    (_lib.QueueSet, "QUEUE_SET_"),
    (_lib.Follow, "FOLLOW_"),
    (_lib.FollowType, "FOLLOW_"),
    (metastore.Owner, "OWNER_"),
    (metastore.Events, "EVENT_"),
    (metastore.EventType, "EVENT_"),
    (metastore.EventFlags, "EVENT_F_"),
    (metastore.Features, "FEATURE_"),
    (metastore.Policy, "QUEUE_"),
    (metastore.End, "END_"),
    (metastore.UserKind, "USER_"),
]


def test_every_structure_is_checked():
    classes = [
        name
        for name, value in vars(_lib).items()
        if isinstance(value, type) and issubclass(value, ctypes.Structure)
    ]
    assert sorted(classes) == sorted(STRUCTURES)


def test_structures_and_numbers(tmp_path):
    checks = []
    for name, tag in STRUCTURES.items():
        structure = getattr(_lib, name)
        checks.append((f"sizeof(struct mstore_{tag})", ctypes.sizeof(structure)))
        for field, *_ in structure._fields_:
            offset = getattr(structure, field).offset
            size = getattr(structure, field).size
            checks.append((f"offsetof(struct mstore_{tag}, {field})", offset))
            checks.append((f"sizeof(((struct mstore_{tag} *)0)->{field})", size))
    for kinds, prefix in NUMBERS:
        assert len(kinds.__members__) > 1
        for name, number in kinds.__members__.items():
            checks.append((f"MSTORE_{prefix}{name}", int(number)))
    checks += [
        ("(int)MSTORE_ANY_BUCKET", _lib.ANY_BUCKET),
        ("MSTORE_WAIT_FOREVER", _lib.WAIT_FOREVER),
        ("MSTORE_BATCH_MAX", _lib.BATCH_MAX),
        ("MSTORE_BATCH_ATOMIC", _lib.BATCH_ATOMIC),
        ("MSTORE_USER_KINDS", _lib.USER_KINDS),
        ("MSTORE_TTL_MAX", 2**40),
    ]
    source = tmp_path / "check.c"
    source.write_text(
        f'#include <stddef.h>\n#include "{HEADER}"\n'
        + "".join(f'_Static_assert({left} == {right}, "{left}");\n' for left, right in checks)
    )
    built = subprocess.run(["cc", "-fsyntax-only", source], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert len(checks) > 300


def size_in_c(words):
    """Kind of a result or an argument as the header writes it."""
    if "*" in words:
        return "pointer"
    return {"int32_t": "int", "size_t": "uint64_t"}.get(words.split()[0], words.split()[0])


SIZES = {
    None: "void",
    ctypes.c_int: "int",
    ctypes.c_uint32: "uint32_t",
    ctypes.c_int64: "int64_t",
    ctypes.c_uint64: "uint64_t",
    ctypes.c_void_p: "pointer",
    ctypes.c_char_p: "pointer",
}


def test_prototypes():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    for name, (result, *arguments) in _lib._PROTOTYPES.items():
        found = re.search(rf"^((?:const )?[\w ]+?[ *\n]+){name}\(([^)]*)\);", text, re.M)
        assert found, f"{name} is not declared"
        told = [words.replace("const", "").strip() for words in found.group(2).split(",")]
        told = [found.group(1).replace("const", "").strip()] + [w for w in told if w != "void"]
        ours = [SIZES.get(kind, "pointer") for kind in (result, *arguments)]
        assert ours == [size_in_c(words) for words in told], name
