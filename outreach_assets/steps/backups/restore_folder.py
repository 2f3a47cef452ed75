"""The folder that a restore writes into: what is there already, and how files come into it whole.

They are fetched into a folder inside of it, proven there, and then renamed: who looks sees a whole
file or none, and a restore that was killed goes on with what it had fetched.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.backups.fetch import Hashes, listed_in, whole_in, with_links
from outreach_assets.steps.backups.mover import Moved, Mover
from outreach_assets.steps.backups.rclone import NotThereError, Rclone
from outreach_assets.steps.backups.restore_plan import LINK
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres_folder import Hold, try_lock

WORK = ".outreach-restore"
NAMED = 10
"""So many files are named in a message."""


class RestoreBusyError(RetryableError):
    """Another restore is at work in the folder."""


class CannotWriteError(PermanentError):
    """The folder cannot be written, or has no room."""


class InTheWayError(PermanentError):
    """Other files are where the restored ones belong."""


@dataclass(frozen=True, kw_only=True)
class RestoreFolder:
    """The folder, held by this restore alone."""

    path: Path

    @property
    def arriving(self) -> Path:
        """Where files are fetched to."""
        return self.path / WORK / "files"

    def whole(self, rclone: Rclone, files: Mapping[str, Hashes]) -> dict[str, int]:
        """Those that are there already, and their sizes. Raises InTheWayError for any other.

        Of one whose hash nobody knows nobody can say that it is the same.
        """
        there = _listing(rclone, self.path)
        at_their_place = {path: files[path] for path in files.keys() & there.keys()}
        told = {path: hashes for path, hashes in at_their_place.items() if hashes}
        whole = whole_in(rclone, with_links(self.path), told) if told else {}
        in_the_way = (at_their_place.keys() - whole.keys()) | set(_blocked(files, there))
        if in_the_way:
            raise InTheWayError(
                f"nothing was restored: {len(in_the_way):,} other files are in {self.path} where "
                f"it would write ({listed_names(in_the_way)}): move them away, or restore into "
                "another folder"
            )
        return whole

    def arrived(self, rclone: Rclone, files: Mapping[str, Hashes]) -> dict[str, int]:
        """Those that an earlier restore had fetched wholly; all else that it left is removed."""
        told = {path: hashes for path, hashes in files.items() if hashes}
        whole = whole_in(rclone, with_links(self.arriving), told) if self.arriving.exists() else {}
        left = _listing(rclone, self.arriving).keys() - whole.keys()
        Mover(rclone, _unheard, _nobody_minds).remove(with_links(self.arriving), sorted(left))
        return whole

    def check_room(self, size_bytes: int) -> None:
        """Raises CannotWriteError."""
        free = shutil.disk_usage(self.path).free
        if size_bytes > free:
            raise CannotWriteError(
                f"{size_bytes:,} bytes are to come into {self.path}, and {free:,} are free there: "
                "make room, or restore a part with --path"
            )

    def put_in_place(self, rclone: Rclone, paths: Iterable[str]) -> set[str]:
        """Move these to where they belong, and drop all else; which of them did not get there."""
        wanted = sorted(paths)
        Mover(rclone, _unheard, _nobody_minds).run(
            "sync/move",
            with_links(self.arriving),
            with_links(self.path),
            wanted,
            # The check before it was minutes ago: never over what has come since.
            _config={"IgnoreExisting": True, "NoUpdateDirModTime": True},
        )
        left = listed_in(rclone, with_links(self.arriving), wanted)
        shutil.rmtree(self.arriving, ignore_errors=True)
        return {found["Path"] for found in left}


@contextmanager
def restore_folder(path: Path) -> Iterator[RestoreFolder]:
    """Made if need be. Raises CannotWriteError, RestoreBusyError.

    What was fetched stays for the next restore when the block raises.
    """
    work, was_there = path / WORK, path.exists()
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = try_lock(work / "lock", Hold.ALONE)
    except OSError as error:
        raise CannotWriteError(f"{path} cannot be written: {error.strerror}") from None
    if lock is None:
        raise RestoreBusyError(f"another restore is at work in {path}: wait for it")
    folder = RestoreFolder(path=path)
    try:
        yield folder
    finally:
        if not folder.arriving.exists():
            shutil.rmtree(work, ignore_errors=True)
        os.close(lock)
        if not was_there and not any(path.iterdir()):
            path.rmdir()


def listed_names(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    found = sorted(names)
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def _listing(rclone: Rclone, folder: Path) -> dict[str, bool]:
    """All below it by its path: True for a folder, False for a file or a link."""
    opt = {"recurse": True, "noModTime": True, "noMimeType": True}
    asked = rclone.ask("operations/list", fs=with_links(folder), remote="", opt=opt)
    try:
        found = {str(one["Path"]): bool(one["IsDir"]) for one in asked.elements()}
    except NotThereError:
        return {}
    return {path: is_folder for path, is_folder in found.items() if path.split("/")[0] != WORK}


def _blocked(files: Iterable[str], there: Mapping[str, bool]) -> Iterator[str]:
    """Files that belong where a folder is, or below what is a file or a link.

    Below a link they would be written to wherever it leads.
    """
    for path in files:
        if there.get(path.removesuffix(LINK)):
            yield path
        for end in (at for at, letter in enumerate(path) if letter == "/"):
            above = path[:end]
            if there.get(above) is False or above + LINK in there:
                yield path


def _unheard(_: Moved) -> None:
    """Nobody needs to hear of what is done on one disk."""


def _nobody_minds() -> None:
    """A restore goes on to its end."""
