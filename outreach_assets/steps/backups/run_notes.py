"""What each run was about to change at a destination, kept there: `runs/<version>.jsonl.gz`.

`versions/` tells what a file was before, but not since when it has been there, nor what a run that
kept no versions took away. It is written before anything is changed: what it says of the time
before the run is true however the run ends. What follows from it is in as_it_was.py.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from outreach_assets.steps.backups.mover import TRIES
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, RcloneError
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import Difference

SUFFIX = ".jsonl.gz"


class Was(StrEnum):
    """What the destination had under a file's path before the run."""

    ABSENT = "absent"
    KEPT = "kept"
    """It is in the run's folder of versions, if the run came so far."""

    LOST = "lost"
    """The run kept no versions, or what was there had been found damaged."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a run meant to do with one file."""

    path: str
    was: Was
    hash: str | None = None
    """Of what is sent, `md5:…`; None for what is removed."""


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """A run, by its version, and what it was about to change."""

    version: str
    changes: Sequence[Change]


class StrangeNoteError(PermanentError):
    """Something lies among the notes that is none."""


def changes_of(
    difference: Difference, to_remove: Iterable[str], *, keeps: bool
) -> Iterator[Change]:
    """What a run is going to change."""
    before = Was.KEPT if keeps else Was.LOST
    was = dict.fromkeys(difference.to_replace, before) | dict.fromkeys(difference.damaged, Was.LOST)
    for file in difference.to_send:
        yield Change(path=file.path, was=was.get(file.path, Was.ABSENT), hash=file.hash)
    for path in to_remove:
        yield Change(path=path, was=before)


def note_changes(rclone: Rclone, runs: str, version: str, changes: Iterable[Change]) -> None:
    """Write the note of a run. Raises what talking to rclone raises."""
    name = f"{version}{SUFFIX}"
    with gzip.open(rclone.folder / name, "wt", encoding="utf-8") as note:
        note.writelines(json.dumps(vars(change)) + "\n" for change in changes)
    for tries_left in reversed(range(TRIES)):
        try:
            rclone.call(
                "operations/copyfile",
                srcFs=str(rclone.folder),
                srcRemote=name,
                dstFs=runs,
                dstRemote=name,
            )
        except RcloneError:
            if not tries_left:
                raise
        else:
            return


def read_notes(rclone: Rclone, runs: str) -> list[RunNote]:
    """All notes there, oldest first; none when there is no such folder.

    Raises StrangeNoteError and what talking to rclone raises.
    """
    folder = rclone.folder / "runs"
    try:
        rclone.call("sync/copy", srcFs=runs, dstFs=str(folder))
    except NotThereError:
        return []
    return [_note(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _note(path: Path) -> RunNote:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            changes = [_change(json.loads(line)) for line in lines]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise StrangeNoteError(
            f"runs/{path.name} is no note of a run ({error}): what was there at which time cannot "
            "be told; restore without --at, or from another destination"
        ) from None
    return RunNote(version=path.name.removesuffix(SUFFIX), changes=changes)


def _change(said: Mapping[str, str | None]) -> Change:
    return Change(path=str(said["path"]), was=Was(said["was"] or ""), hash=said.get("hash"))
