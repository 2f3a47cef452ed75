"""Whether two stores hold the same, or a store what its manifests say.

By listing, by hash, or byte for byte. Moving objects is in migrate.py.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from b2_resources.files import sha256_of
from b2_resources.object_store import ObjectCorruptError, ObjectMissingError, ObjectStore

WORKERS = 8
WINDOW_KEYS = 256


class How(StrEnum):
    """How closely to look, and what it costs."""

    LISTING = "listing"
    """Keys and sizes; one request for a thousand objects."""
    HASH = "hash"
    """The sha256 each store keeps; one request for each object and store."""
    BYTES = "bytes"
    """Every byte is read and hashed here; as much traffic as there are bytes."""


class Difference(StrEnum):
    """What is wrong with a key."""

    MISSING = "missing"
    EXTRA = "extra"
    """Only in the second store, or named by no manifest."""
    SIZE = "other size"
    BYTES = "other bytes"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An object as a manifest names it."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How many keys were looked at, and what is wrong, by key."""

    checked: int
    differences: dict[str, Difference]


def verify_stores(
    first: ObjectStore, second: ObjectStore, how: How = How.HASH, *, prefix: str = ""
) -> Verified:
    """What of the first store the second does not hold alike, and what it holds besides."""
    differences: dict[str, Difference] = {}
    checked = 0
    pairs = _paired(_sizes(first, prefix), _sizes(second, prefix))
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="verify") as pool:

        def differs(pair: tuple[str, int | None, int | None]) -> Difference | None:
            key, here, there = pair
            if there is None:
                return Difference.MISSING
            if here is None:
                return Difference.EXTRA
            if here != there:
                return Difference.SIZE
            if how is How.LISTING or _hash(first, key, how) == _hash(second, key, how):
                return None
            return Difference.BYTES

        while window := list(islice(pairs, WINDOW_KEYS)):
            checked += len(window)
            for pair, difference in zip(window, pool.map(differs, window), strict=True):
                if difference:
                    differences[pair[0]] = difference
    return Verified(checked=checked, differences=differences)


def verify_expected(
    store: ObjectStore, expected: Iterable[Expected], how: How = How.HASH
) -> Verified:
    """What of the expected is not there as it was named."""

    def differs(file: Expected) -> Difference | None:
        try:
            if store.head(file.key).size_bytes != file.size_bytes:
                return Difference.SIZE
            if how is How.LISTING or _hash(store, file.key, how) == file.sha256:
                return None
        except ObjectMissingError:
            return Difference.MISSING
        return Difference.BYTES

    files = list(expected)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="verify") as pool:
        found = zip(files, pool.map(differs, files), strict=True)
        return Verified(
            checked=len(files), differences={file.key: wrong for file, wrong in found if wrong}
        )


def _hash(store: ObjectStore, key: str, how: How) -> str | None:
    """None for bytes that are not those that were put, which is equal to nothing expected."""
    kept = store.head(key).sha256 if how is How.HASH else None
    if kept is not None:
        return kept
    try:
        return sha256_of(store.stream(key))
    except ObjectCorruptError:
        return f"corrupt in {store.place_of(key)}"


def _sizes(store: ObjectStore, prefix: str) -> Iterator[tuple[str, int]]:
    for found in store.list_objects(prefix):
        yield found.key, found.size_bytes


def _paired(
    first: Iterator[tuple[str, int]], second: Iterator[tuple[str, int]]
) -> Iterator[tuple[str, int | None, int | None]]:
    """Both listings side by side: key, size in the first, size in the second."""
    here, there = next(first, None), next(second, None)
    while here or there:
        if there is None or (here and here[0].encode() < there[0].encode()):
            assert here is not None  # noqa: S101 for mypy: one of them is there
            yield here[0], here[1], None
            here = next(first, None)
        elif here is None or there[0].encode() < here[0].encode():
            yield there[0], None, there[1]
            there = next(second, None)
        else:
            yield here[0], here[1], there[1]
            here, there = next(first, None), next(second, None)
