"""What a policy's source holds, with hashes, as rclone lists it; and what it could not list.

A source that keeps no hashes, as a folder does, is hashed by rclone's hashsum, many files at once,
while it is listed: `operations/list` would read one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from outreach_assets.steps.backups.listing import listed, listing_options
from outreach_assets.steps.backups.rclone import (
    NotThereError,
    Question,
    Rclone,
    RcloneError,
)
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import ListedFile

SOURCE = "source"
"""The group of rclone's statistics that a source's listing counts in."""

NOT_HASHED = "failed to get hash"
"""What rclone's log says of a file then."""


class SourceGoneError(PermanentError):
    """The policy's folder is not there, or suddenly empty."""


class ListedSource(NamedTuple):
    """What a source has answered, as it comes in."""

    files: Iterator[ListedFile]
    hashes: Iterator[tuple[str, str]] | None
    """By path; None where the files have theirs."""


@dataclass(frozen=True, kw_only=True)
class AskedSource:
    """A source that rclone is at work on."""

    called: str
    kind: str
    files: Question
    hashes: Question | None

    def answered(self) -> ListedSource:
        """Waits for all of it. Raises SourceGoneError or RcloneError."""
        try:
            files = listed(self.files, self.kind)
        except NotThereError:
            raise SourceGoneError(
                f"{self.called} is not there: nothing was copied or removed"
            ) from None
        if self.hashes is None:
            return ListedSource(files, None)
        try:
            lines = self.hashes.elements()
        except NotThereError as error:  # a folder in it, for all of it was listed
            raise RcloneError(f"{self.called} changed while it was hashed: {error}") from None
        # A line for each file, and no name breaks it: rclone writes a line end as U+240A.
        parts = (line.partition("  ") for line in lines)
        return ListedSource(files, ((path, f"{self.kind}:{hash_}") for hash_, _, path in parts))


def ask_source(
    rclone: Rclone, fs: str, called: str, kind: str, rules: Sequence[str]
) -> AskedSource:
    """Begin to list what the rules leave of a source, with hashes of that kind.

    `fs` is what rclone calls it, `called` what people do. Raises what talking to rclone raises.
    """
    asked = {"fs": fs, "_filter": {"FilterRule": list(rules)}, "_group": SOURCE}
    is_slow = rclone.call("operations/fsinfo", fs=fs)["Features"]["SlowHash"]
    opt = listing_options(() if is_slow else [kind])
    files = rclone.ask("operations/list", remote="", opt=opt, **asked)
    hashes = rclone.ask("operations/hashsum", hashType=kind, **asked) if is_slow else None
    return AskedSource(called=called, kind=kind, files=files, hashes=hashes)


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
