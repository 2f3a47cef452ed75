"""What a folder holds, with the hashes it keeps, as rclone lists it.

A policy's own folder, whose files have to be read for that, is listed by source_listing.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any  # rclone's answers are JSON objects of many shapes

from outreach_assets.steps.backups.rclone import Question, Rclone
from outreach_core.file_destinations import ListedFile

FILES = {"filesOnly": True, "recurse": True, "noModTime": True, "noMimeType": True}


def listing_options(kinds: Sequence[str]) -> dict[str, object]:
    """Of `operations/list`: all files, with their hashes of these kinds."""
    return {**FILES, "showHash": bool(kinds), "hashTypes": list(kinds)}


def ask_listing(
    rclone: Rclone, fs: str, kind: str, *, only: Mapping[str, Sequence[str]] | None = None
) -> Question:
    """Begin to list all files with their hashes of that kind, or those that the filter takes."""
    opt = listing_options([kind])
    return rclone.ask("operations/list", fs=fs, remote="", opt=opt, _filter=only or {})


def listed(asked: Question, kind: str) -> Iterator[ListedFile]:
    """The files, as they come in. Raises RcloneError or NotThereError, if so, before the first."""
    return (_file(found, kind) for found in asked.elements())


def _file(found: dict[str, Any], kind: str) -> ListedFile:
    value = (found.get("Hashes") or {}).get(kind)
    return ListedFile(found["Path"], found["Size"], f"{kind}:{value}" if value else None)
