"""What a policy's source holds, with hashes, where Postgres can judge it; and what of it is unread.

A source that keeps no hashes, as a folder does, is hashed by rclone's hashsum, many files at once,
while it is listed: `operations/list` would read one after the other.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any  # rclone's answers are JSON of many shapes

from outreach_assets.steps.backups.listing import as_listed, listing_options
from outreach_assets.steps.backups.rclone import (
    NotThereError,
    Question,
    Rclone,
    RcloneError,
)
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import ListedFile, add_hashes, copy_in
from outreach_core.postgres import Connection

SOURCE = "source"
"""The group of rclone's statistics that a source's listing counts in."""

NOT_HASHED = "failed to get hash"
"""What rclone's log says of a file then."""


class SourceGoneError(PermanentError):
    """The policy's folder is not there, or suddenly empty."""


class SourceListing:
    """A source that rclone is at work on. Raises what talking to rclone raises.

    `fs`: what rclone calls it, `called` what people do; `kind`: of hashes; `rules`: what of it is
    listed.
    """

    def __init__(
        self, rclone: Rclone, fs: str, called: str, kind: str, rules: Sequence[str]
    ) -> None:
        self._called, self._kind = called, kind
        asked = {"fs": fs, "_filter": {"FilterRule": list(rules)}, "_group": SOURCE}
        is_hashed = not rclone.call("operations/fsinfo", fs=fs)["Features"]["SlowHash"]
        opt = listing_options(kind if is_hashed else None)
        self._files = _Answer(rclone.ask("operations/list", remote="", opt=opt, **asked))
        self._hashes = None
        if not is_hashed:
            self._hashes = _Answer(rclone.ask("operations/hashsum", hashType=kind, **asked))

    def wait(self) -> None:
        """Until all of it is answered. Raises SourceGoneError or RcloneError."""
        self._listed()
        self._hashed()

    def copy_in(self, connection: Connection, takes: Callable[[ListedFile], bool]) -> None:
        """All files that it takes into `listed_source`, once `wait` has come back."""
        files = (as_listed(found, self._kind) for found in self._listed())
        copy_in(connection, "listed_source", filter(takes, files))
        # A line for each file, and no name breaks it: rclone writes a line end as U+240A.
        lines = (line.partition("  ") for line in self._hashed())
        add_hashes(connection, ((path, f"{self._kind}:{hash_}") for hash_, _, path in lines))

    def _listed(self) -> Iterator[Any]:
        try:
            return self._files.elements()
        except NotThereError:
            raise SourceGoneError(
                f"{self._called} is not there: nothing was copied or removed"
            ) from None

    def _hashed(self) -> Iterator[Any]:
        try:
            return self._hashes.elements() if self._hashes else iter(())
        except NotThereError as error:  # a folder in it, for all of it was listed
            raise RcloneError(f"{self._called} changed while it was hashed: {error}") from None


class _Answer:
    """What a question is answered, once it was waited for."""

    def __init__(self, asked: Question) -> None:
        self._asked = asked
        self._elements: Iterator[Any] | None = None

    def elements(self) -> Iterator[Any]:
        """Waits for the first of them."""
        if self._elements is None:
            self._elements = self._asked.elements()
        return self._elements


def unread_folders(rclone: Rclone) -> list[str]:
    """Folders that the source's listing had to leave out, each with a `/` at its end.

    rclone lists such a folder as an empty one, and only counts and logs that it could not look.
    Raises SourceGoneError when it is the source itself.
    """
    if rclone.call("core/stats", group=SOURCE)["errors"] == 0:
        return []
    rclone.read_log()
    if not rclone.errors:
        raise SourceGoneError("the folder cannot be read: nothing was copied or removed")
    # A file that could not be hashed has no hash, or was gone before that.
    return [
        f"{path}/"
        for path, says in sorted(rclone.errors.items())
        if not says.startswith(NOT_HASHED)
    ]
