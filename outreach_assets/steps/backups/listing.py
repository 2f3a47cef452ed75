"""What a folder holds, with hashes, as rclone lists it; and what of a source it could not list."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any  # rclone's answers are JSON objects of many shapes

from outreach_assets.steps.backups.rclone import NotThereError, Question, Rclone
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import ListedFile

FILES = {"filesOnly": True, "recurse": True, "noModTime": True, "noMimeType": True}


class SourceGoneError(PermanentError):
    """The policy's folder is not there, or suddenly empty."""


SOURCE = "source"
"""The group of rclone's statistics that a source's listing counts in."""


def ask_listing(
    rclone: Rclone, fs: str, kind: str, *, only: Mapping[str, Sequence[str]] | None = None
) -> Question:
    """Begin to list all files with their hashes of that kind, or those that the filter takes."""
    opt = {**FILES, "showHash": True, "hashTypes": [kind]}
    return rclone.ask("operations/list", fs=fs, remote="", opt=opt, _filter=only or {})


def listed(asked: Question, kind: str) -> Iterator[ListedFile]:
    """The files, as they come in. Raises RcloneError or NotThereError, if so, before the first."""
    return (_file(found, kind) for found in asked.objects())


def ask_source(rclone: Rclone, fs: str, kind: str, rules: Sequence[str]) -> Question:
    """Begin to list what the rules leave of a source."""
    opt = {**FILES, "showHash": True, "hashTypes": [kind]}
    filtered = {"FilterRule": list(rules)}
    return rclone.ask("operations/list", fs=fs, remote="", opt=opt, _filter=filtered, _group=SOURCE)


def listed_source(asked: Question, fs: str, kind: str) -> Iterator[ListedFile]:
    """As `listed`. Raises SourceGoneError when there is no such folder."""
    try:
        return listed(asked, kind)
    except NotThereError:
        raise SourceGoneError(f"{fs} is not there: nothing was copied or removed") from None


def unread_folders(rclone: Rclone) -> list[str]:
    """Folders that the source's listing had to leave out, each with a `/` at its end.

    rclone lists such a folder as an empty one, and only counts and logs that it could not look.
    Raises SourceGoneError when it is the source itself.
    """
    if rclone.call("core/stats", group=SOURCE)["errors"] == 0:
        return []
    rclone.read_log()
    found = [f"{path}/" for path in sorted(rclone.errors)]
    if not found:
        raise SourceGoneError("the folder cannot be read: nothing was copied or removed")
    return found


def _file(found: dict[str, Any], kind: str) -> ListedFile:
    value = (found.get("Hashes") or {}).get(kind)
    return ListedFile(found["Path"], found["Size"], f"{kind}:{value}" if value else None)
