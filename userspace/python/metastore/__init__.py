# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine's string map with publish/subscribe, /dev/metastore.

>>> import metastore
>>> store = metastore.Store.private(text=True)      # Store(text=True): the machine's own
>>> store["door"] = "open"
>>> store["door"]
'open'
>>> with store.subscribe("door", timeout=1) as events:
...     _ = store.publish("door", "closed")
...     for event in events:
...         print(event.key, event.value)
...         break
door closed

Errors are subclasses of OSError, see metastore.errors.
"""

from ._batch import Batch, Operation
from ._follower import Changes, Follower, FollowerInfo
from ._lock import Hold, Lock
from ._store import Store
from ._subscriber import Subscriber, Subscription
from ._types import (
    ALL_EVENTS,
    Change,
    End,
    Entry,
    Event,
    EventFlags,
    Events,
    EventType,
    Features,
    Flushed,
    Info,
    Listed,
    Owner,
    OwnerEnd,
    Policy,
    Previous,
    Published,
    QueueInfo,
    Stat,
    SubscriptionInfo,
    Use,
    UserInfo,
    UserKind,
)
from .errors import (
    AbsentError,
    AccessError,
    ArgumentError,
    BatchError,
    BusyError,
    ChangedError,
    Error,
    ExistsError,
    LimitError,
    LockLostError,
    NumberError,
    TimedOut,
    TooLongError,
    UnavailableError,
    UnlimitedError,
    UnsupportedError,
)

__version__ = "0.6.0"

__all__ = [
    "ALL_EVENTS",
    "AbsentError",
    "AccessError",
    "ArgumentError",
    "Batch",
    "BatchError",
    "BusyError",
    "Change",
    "ChangedError",
    "Changes",
    "End",
    "Entry",
    "Error",
    "Event",
    "EventFlags",
    "EventType",
    "Events",
    "ExistsError",
    "Features",
    "Flushed",
    "Follower",
    "FollowerInfo",
    "Hold",
    "Info",
    "LimitError",
    "Listed",
    "Lock",
    "LockLostError",
    "NumberError",
    "Operation",
    "Owner",
    "OwnerEnd",
    "Policy",
    "Previous",
    "Published",
    "QueueInfo",
    "Stat",
    "Store",
    "Subscriber",
    "Subscription",
    "SubscriptionInfo",
    "TimedOut",
    "TooLongError",
    "UnavailableError",
    "UnlimitedError",
    "UnsupportedError",
    "Use",
    "UserInfo",
    "UserKind",
    "__version__",
]
