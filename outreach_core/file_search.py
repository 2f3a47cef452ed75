"""Backed up files with where each of them is, page by page, for people who look for one.

The rows are those of shq.file_destinations; who writes them is file_destinations.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from outreach_core.file_destinations import FileStatus
from outreach_core.postgres import Connection

# strpos takes every character for itself, where LIKE would not. Of two forms of Unicode both are
# found; plain ASCII has one, and normalizing a million paths took 5 of 7 s. The index on
# (folder_id, path, destination) gives a page without sorting all the others.
FILES = """
    WITH page AS (
      SELECT folder_id, path FROM shq.file_destinations
      WHERE (%(folder_id)s::text IS NULL OR folder_id = %(folder_id)s)
        AND (%(destination)s::text IS NULL OR destination = %(destination)s)
        AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(text)s::text IS NULL
             OR strpos(lower(CASE WHEN octet_length(path) = char_length(path) THEN path
                             ELSE normalize(path) END), lower(normalize(%(text)s))) > 0)
        AND (%(after_path)s::text IS NULL
             OR (folder_id, path) > (%(after_folder)s, %(after_path)s))
      GROUP BY folder_id, path ORDER BY folder_id, path LIMIT %(limit)s
    )
    SELECT folder_id, path, destination, status, size_bytes, hash, remote_path, error, attempts,
           synced_at, proven_at
    FROM shq.file_destinations JOIN page USING (folder_id, path)
    ORDER BY folder_id, path, destination"""


class FilePlace(NamedTuple):
    """Where a page ends."""

    folder_id: str
    path: str


@dataclass(frozen=True, kw_only=True)
class FileFilter:
    """Which files; None asks nothing."""

    folder_id: str | None = None
    destination: str | None = None
    status: FileStatus | None = None
    """At any destination, or at the one that is named."""

    text: str | None = None
    """In the path, whatever its case."""


class AtDestination(NamedTuple):
    """How a file is at one destination."""

    destination: str
    status: FileStatus
    size_bytes: int
    hash: str | None
    remote_path: str | None
    error: str | None
    attempts: int
    synced_at: datetime | None
    proven_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file, and all its destinations."""

    place: FilePlace
    destinations: Sequence[AtDestination]


def find_files(
    connection: Connection, wanted: FileFilter, *, after: FilePlace | None, limit: int
) -> list[FoundFile]:
    """Those that match, by policy and path, from after that place on."""
    values = {
        **vars(wanted),
        "after_folder": after and after.folder_id,
        "after_path": after and after.path,
        "limit": limit,
    }
    rows = connection.execute(FILES, values).fetchall()
    return [
        FoundFile(
            place=FilePlace(*place),
            destinations=[
                AtDestination(destination, FileStatus(status), *rest)
                for _, _, destination, status, *rest in found
            ],
        )
        for place, found in groupby(rows, lambda row: row[:2])
    ]
