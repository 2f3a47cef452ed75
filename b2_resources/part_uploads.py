"""A large object in parts, put by somebody without our keys: the third promise of every store.

Where a part is sent is signed in signing.py; our own large files go up in s3_multipart.py. Which
upload is whose, and what it is for, is the caller's to know.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from outreach_core.errors import PermanentError

PART_BYTES = 16 * 1024 * 1024
"""Of a part but the last, where nothing else is said; S3's least is 5 MB."""

MOST_PARTS = 10_000


class PartsGoneError(PermanentError):
    """The store knows no such upload: it was completed or aborted, or the store lost it."""


@dataclass(frozen=True, kw_only=True)
class PartPlan:
    """How an object is cut: parts of the same size, and a last one that may be smaller."""

    size_bytes: int
    part_bytes: int

    @property
    def count(self) -> int:
        """How many parts; they are numbered from 1."""
        return -(-self.size_bytes // self.part_bytes)

    def size_of(self, number: int) -> int:
        """How many bytes that part has. Raises PermanentError where there is no such part."""
        if not 1 <= number <= self.count:
            raise PermanentError(f"there is no part {number}: they are 1 to {self.count}")
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


@dataclass(frozen=True, kw_only=True)
class ArrivedPart:
    """A part that the store has."""

    number: int
    size_bytes: int
    etag: str
    """Lower-case, without quotes; the MD5 of its bytes on most servers."""


class PartUploads(Protocol):
    """Uploads in parts. Safe to call from several threads and processes.

    Besides the errors named, every method may raise StoreRefusedError, StoreUnreachableError and
    KeyRefusedError.
    """

    @property
    def max_parts(self) -> int:
        """How many parts one upload may have."""
        ...

    def begin(self, key: str, *, content_type: str) -> str:
        """The id of a new upload. Nothing is under the key because of it before `complete`."""
        ...

    def arrived(self, key: str, upload_id: str) -> list[ArrivedPart]:
        """The parts that are there, in order. A part that was sent twice is there once.

        Raises PartsGoneError.
        """
        ...

    def complete(self, key: str, upload_id: str, parts: Sequence[ArrivedPart]) -> None:
        """The parts, in this order, are the object, whole or not at all. Raises PartsGoneError."""
        ...

    def abort_all(self, key: str) -> int:
        """No upload for this key is open any more, and none of its parts kept; how many were."""
        ...


def planned(size_bytes: int, part_bytes: int, max_parts: int) -> PartPlan:
    """The plan with parts of that size, or of a larger one where there would be too many."""
    return PartPlan(
        size_bytes=size_bytes, part_bytes=max(part_bytes, -(-size_bytes // max_parts), 1)
    )


def missing_parts(plan: PartPlan, arrived: Iterable[ArrivedPart]) -> list[int]:
    """The numbers of the parts that are not there, or not as large as they must be."""
    sizes = {part.number: part.size_bytes for part in arrived}
    return [n for n in range(1, plan.count + 1) if sizes.get(n) != plan.size_of(n)]
