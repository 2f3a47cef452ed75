"""Which of two copies is the later, and bringing the far side of a HybridStore up to date."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from b2_resources.hybrid_journal import Deed, Journal, Owed
from b2_resources.local_store import LocalStore
from b2_resources.object_store import (
    GENERATION,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreUnreachableError,
)
from outreach_core.errors import OutreachError

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of one thing owed; the names of the fields of Reconciled."""

    PUT = "put"
    DELETED = "deleted"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What came of what was owed."""

    put: int = 0
    deleted: int = 0
    superseded: int = 0
    """Settled without a deed: the far side has it already, or something later."""
    left: int = 0
    """Still owed."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """What the far side refused, by key."""


def reconcile(near: LocalStore, far: ObjectStore, journal: Journal) -> Reconciled:
    """Do on the far side what it has not seen. Stops when it cannot be reached."""
    counts = dict.fromkeys(Outcome, 0)
    failed: dict[str, str] = {}
    for owed in list(journal.entries()):
        try:
            with journal.locked(owed.key):
                if journal.read(owed.key) == owed:  # nobody was faster
                    counts[_settled(near, far, owed)] += 1
                    journal.settle(owed)
        except StoreUnreachableError as error:
            logger.warning("the bucket cannot be reached, the rest stays owed: %s", error)
            break
        except OutreachError as error:
            failed[owed.key] = str(error)
    left = sum(1 for _ in journal.entries())
    return Reconciled(**{o.value: n for o, n in counts.items()}, failed=failed, left=left)


def _settled(near: LocalStore, far: ObjectStore, owed: Owed) -> Outcome:
    there, here = head_or_none(far, owed.key), head_or_none(near, owed.key)
    if there is not None and generation_of(there) > owed.generation:
        near.delete(owed.key)  # somebody else has put it later: the older copy must not be read
        return Outcome.SUPERSEDED
    if owed.deed is Deed.DELETE:
        far.delete(owed.key)
        near.delete(owed.key)
        return Outcome.DELETED
    if here is None or generation_of(here) != owed.generation:
        near.delete(owed.key)  # a crash came before the near copy: the far side says what is
        return Outcome.SUPERSEDED
    if there is not None and there.sha256 == here.sha256 and not differ(here, there):
        return Outcome.SUPERSEDED
    far.put_file(
        owed.key,
        near.path_of(owed.key),
        content_type=here.content_type,
        metadata=here.metadata,
        sha256=here.sha256,
    )
    return Outcome.PUT


def head_or_none(store: ObjectStore, key: str) -> StoredObject | None:
    """None where the store knows that there is no such object."""
    try:
        return store.head(key)
    except ObjectMissingError:
        return None


def generation_of(stored: StoredObject) -> int:
    """Higher is later: the mark of the put, or the object's time where others have put it."""
    marked = stored.metadata.get(GENERATION, "")
    return int(marked) if marked.isdecimal() else int(stored.modified_at.timestamp() * 1e9)


def differ(near: StoredObject, far: StoredObject) -> bool:
    """True when the far object is not the one that lies near."""
    if far.sha256 is None:
        return near.size_bytes != far.size_bytes or far.modified_at > near.modified_at
    same_put = near.metadata.get(GENERATION) == far.metadata.get(GENERATION)
    return near.sha256 != far.sha256 or not same_put


def unmarked(stored: StoredObject) -> StoredObject:
    """As the caller of a HybridStore sees it."""
    shown = {name: value for name, value in stored.metadata.items() if name != GENERATION}
    return replace(stored, metadata=shown)
