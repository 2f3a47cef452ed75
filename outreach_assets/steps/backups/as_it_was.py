"""What a policy's folder at a destination held at a time, by what lies there and what runs noted.

Pure. Who lists and reads is restore_plan.py; how notes come about is in run_notes.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from outreach_assets.steps.backups.run_notes import RunNote, Was
from outreach_core.errors import PermanentError

FILES = "files"
"""Where the newest files lie, below the policy's folder at a destination."""


class UnknownTimeError(PermanentError):
    """Nothing is known of what was there at that time."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file's content, somewhere below the policy's folder at a destination."""

    below: str
    """`files`, or `versions/<version>`."""

    size_bytes: int
    hash: str | None = None
    """As the destination says it at once; None where it would have to read the file for it."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What was there at a time."""

    files: Mapping[str, Kept]
    of: Mapping[str, int]
    """How many files there are in each place that they are in, also those of other times."""

    lost: Sequence[str]
    """Files that were there too, and that a later run replaced or removed without keeping them."""

    sent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Hashes of what had been sent by then under each path."""

    version: str | None = None
    """The run that left it so."""


def version_of(at: datetime) -> str:
    """As versions are written: their order is that of time."""
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}"


def sent_hashes(notes: Iterable[RunNote]) -> dict[str, frozenset[str]]:
    """What was ever sent under each path: a run that failed leaves what an earlier one sent."""
    found: dict[str, set[str]] = {}
    for note in notes:
        for change in note.changes:
            if change.hash:
                found.setdefault(change.path, set()).add(change.hash)
    return {path: frozenset(hashes) for path, hashes in found.items()}


def as_of(
    at: str,
    newest: Mapping[str, Kept],
    versions: Mapping[str, Mapping[str, Kept]],
    notes: Sequence[RunNote],
) -> Held:
    """What was there after the last run that began by then.

    `versions`: of later runs at least. Of each file the first thing that happened to it since says
    what it was. Raises UnknownTimeError for a time before the first note.
    """
    earlier = [note for note in notes if note.version <= at]
    if not earlier:
        first = f"the first is {notes[0].version}" if notes else "there is none"
        raise UnknownTimeError(
            f"no run had noted anything there by {at} ({first}): what was there is not known; "
            "restore without --at, or name a later time"
        )
    was: dict[str, Kept | None] = {}
    sent, lost = sent_hashes(earlier), set()
    events = {note.version: note.changes for note in notes if note.version > at}
    for version in sorted({*events, *(v for v in versions if v > at)}):
        for path, kept in versions.get(version, {}).items():
            was.setdefault(path, kept)
        for change in events.get(version, ()):
            # What never was anything else, and is sent again, was damaged and is as it was.
            only = sent.get(change.path, frozenset())
            is_repaired = change.was is Was.LOST and [change.hash] == list(only)
            if change.path not in was and change.was is not Was.KEPT and not is_repaired:
                was[change.path] = None
                if change.was is Was.LOST:
                    lost.add(change.path)
    files = {**newest, **was}
    return Held(
        files={path: kept for path, kept in files.items() if kept},
        of={FILES: len(newest)} | {f"versions/{v}": len(files) for v, files in versions.items()},
        lost=sorted(lost),
        sent=sent,
        version=earlier[-1].version,
    )
