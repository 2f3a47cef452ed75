"""What a store was asked and how much was moved, for metadata, progress bars and bills.

Prices are in usage.py.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Self


class Charge(StrEnum):
    """How Backblaze charges for a request; the names of the fields of Traffic."""

    FREE = "class_a"
    """PUT, DELETE and the steps of an upload in parts."""
    READ = "class_b"
    """GET and HEAD of an object."""
    LIST = "class_c"
    """LIST, COPY and what concerns the bucket."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests, tried again ones included, and bytes since a store was opened."""

    class_a: int = 0
    class_b: int = 0
    class_c: int = 0
    retried: int = 0
    """How many of them were second and later tries."""
    sent_bytes: int = 0
    received_bytes: int = 0

    def __sub__(self, before: Self) -> "Traffic":
        return Traffic(**{name: getattr(self, name) - getattr(before, name) for name in NAMES})

    def __add__(self, other: Self) -> "Traffic":
        return Traffic(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    @property
    def requests(self) -> int:
        """Of all classes."""
        return self.class_a + self.class_b + self.class_c


NAMES = [f.name for f in fields(Traffic)]
Watcher = Callable[[int], None]
"""Called with the bytes just moved, from whichever thread moves them; should be quick."""


@dataclass(kw_only=True)
class Meter:
    """Counts for one store, from any thread."""

    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    _watchers: list[Watcher] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, charge: Charge, *, again: bool) -> None:
        """One request goes out."""
        with self._lock:
            self._counts[charge.value] += 1
            self._counts["retried"] += again

    def sent(self, size_bytes: int) -> None:
        """So much of an object has left."""
        self._moved("sent_bytes", size_bytes)

    def received(self, size_bytes: int) -> None:
        """So much of an object has come."""
        self._moved("received_bytes", size_bytes)

    def read(self) -> Traffic:
        """Everything so far; subtract an earlier reading to know one run's share."""
        with self._lock:
            return Traffic(**self._counts)

    @contextmanager
    def watched_by(self, watcher: Watcher) -> Iterator[None]:
        """Within, the watcher hears of all bytes. What is sent again is heard of again."""
        with self._lock:
            self._watchers = [*self._watchers, watcher]
        try:
            yield
        finally:
            with self._lock:
                self._watchers = [w for w in self._watchers if w is not watcher]

    def _moved(self, name: str, size_bytes: int) -> None:
        with self._lock:
            self._counts[name] += size_bytes
            watchers = self._watchers
        for watcher in watchers:
            watcher(size_bytes)


def metered(blocks: Iterable[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    """The blocks again, each counted."""
    for block in blocks:
        count(len(block))
        yield block


def traffic_of(store: object) -> Traffic:
    """What the store has moved so far; nothing for one that does not count."""
    meter = getattr(store, "meter", None)
    return meter.read() if isinstance(meter, Meter) else Traffic()
