"""What HybridStore still owes its far side: one small file for each key, on disk before the deed.

What is done with it is in hybrid_store.py.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from b2_resources.files import write_whole

try:
    import fcntl
except ImportError:  # Windows: one process at a time, then
    fcntl = None  # type: ignore[assignment]

LOCKS = 64


class Deed(StrEnum):
    """What was done to a key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class Owed:
    """A deed that both sides may not have seen. A higher generation is a later deed."""

    key: str
    deed: Deed
    generation: int


class Journal:
    """A folder with one file for each key that owes something."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def write(self, owed: Owed) -> None:
        """On disk when this returns, in the place of an earlier one for the key."""
        write_whole(self._path(owed.key), [json.dumps(asdict(owed)).encode()])

    def read(self, key: str) -> Owed | None:
        """What is owed for the key, None for nothing."""
        return _read(self._path(key))

    def settle(self, owed: Owed) -> None:
        """Take that from the journal; a later deed on the same key still is."""
        if self.read(owed.key) == owed:
            self._path(owed.key).unlink(missing_ok=True)

    def entries(self, prefix: str = "") -> Iterator[Owed]:
        """Everything owed for keys below the prefix, in the order of the keys' bytes."""
        found = (_read(path) for path in self._folder.glob("*.json"))
        owed = (entry for entry in found if entry and entry.key.startswith(prefix))
        yield from sorted(owed, key=lambda entry: entry.key.encode())

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """One deed on a key at a time, among the threads and the processes of this machine.

        Not to be taken twice by one thread. Keys share locks, a few dozen for all.
        """
        stripe = hashlib.sha256(key.encode()).digest()[0] % LOCKS
        with self._locks[stripe]:
            if fcntl is None:
                yield
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{stripe}.lock").open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed, or by a kill
                yield

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


def _read(path: Path) -> Owed | None:
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return Owed(key=kept["key"], deed=Deed(kept["deed"]), generation=kept["generation"])
