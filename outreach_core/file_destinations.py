"""Where each file of a policy is, in Postgres (shq.file_destinations): compared, recorded, counted.

Whole listings are copied in and judged by one statement each, so that a million files are no
problem. Who lists and who copies is in outreach_assets/steps/backups/back_up.py.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, Self

from outreach_core.file_statements import (
    CAME_OF_IT,
    COUNTS,
    DAMAGED_IS_NOT_THERE,
    DROP_TWINS,
    LISTED,
    NOT_IN_SOURCE,
    NOTE_GONE,
    NOTE_REMOVED,
    NOTE_SENT,
    NOTE_SOURCE,
    NOTE_UNREACHABLE,
    TO_SEND,
)
from outreach_core.postgres import Connection, Database


class FileStatus(StrEnum):
    """How far a file is at a destination."""

    PENDING = "pending"
    """What the source holds now is not there yet."""

    SYNCED = "synced"
    """The destination has answered with the hash of the source."""

    FAILED = "failed"
    """It was tried and is not there; `error` says why."""

    DELETED = "deleted"
    """The source has it no more, nor has the destination, but for its versions."""


class ListedFile(NamedTuple):
    """One file of a listing. `hash` is `md5:…`; None when it could not be read."""

    path: str
    size_bytes: int
    hash: str | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """One policy's files at one destination."""

    folder_id: str
    destination: str
    root: str
    """What `remote_path` begins with."""

    passphrase_mark: str | None = None
    """Of what its files are encrypted with; None where they are not."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What must be done to make a destination equal to its source."""

    files: int
    """In the source."""

    same: int
    unreadable: int
    to_send: Sequence[ListedFile]
    to_replace: Sequence[str]
    """Those of them that the destination has with other content."""

    to_prove: Mapping[str, tuple[str, str]]
    """Those that may be there already, encrypted: their hash, and that of what is there."""

    damaged: Sequence[str]
    """Those whose bytes were found to be others than the destination says."""

    not_in_source: Sequence[str]
    """The destination has them, the source does not."""

    def without(self, paths: Collection[str]) -> Self:
        """The same, but for files that need not be sent."""
        return replace(
            self,
            to_send=[file for file in self.to_send if file.path not in paths],
            to_replace=[path for path in self.to_replace if path not in paths],
        )


PROVEN_DAYS = 30
"""So long a proof by bytes counts as one."""

SUMMARY = """
    SELECT folder_id, destination, count(*) FILTER (WHERE status = 'pending'),
           count(*) FILTER (WHERE status = 'synced'), count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'deleted'),
           coalesce(sum(size_bytes) FILTER (WHERE status = 'synced'), 0)::bigint,
           max(synced_at), max(proven_at),
           count(*) FILTER (WHERE status = 'synced'
                            AND bytes_proven_at > now() - make_interval(days => %s)),
           (array_agg(error ORDER BY changed_at DESC, path) FILTER (WHERE status = 'failed'))[1]
    FROM shq.file_destinations GROUP BY folder_id, destination ORDER BY folder_id, destination"""


class PlaceSummary(NamedTuple):
    """How a policy's files are at a destination."""

    folder_id: str
    destination: str
    pending: int
    synced: int
    failed: int
    deleted: int
    synced_bytes: int
    synced_at: datetime | None
    """When the last of them was copied."""

    proven_at: datetime | None
    """When the last of them was found there by its hash."""

    bytes_proven: int
    """So many were read and found right within PROVEN_DAYS."""

    error: str | None
    """Why the newest of the failed ones failed."""

    @property
    def bytes_share(self) -> float | None:
        """Of the files that are there, those whose bytes were proven; None when none is there."""
        return self.bytes_proven / self.synced if self.synced else None


ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"
"""As COPY writes them."""


def copy_in(connection: Connection, table: str, files: Iterable[ListedFile]) -> None:
    """A listing into a temporary table of the transaction, such as `listed_destination`."""
    connection.execute(LISTED.format(table).encode())
    lines = (f"{path.translate(ESCAPED)}\t{size}\t{hash_ or NULL}\n" for path, size, hash_ in files)
    _copy_lines(connection, f"{table} (path, size_bytes, hash)", lines)
    connection.execute(f"ANALYZE {table}".encode())


def copy_in_source(
    connection: Connection,
    files: Iterable[ListedFile],
    hashes: Iterable[tuple[str, str]] | None = None,
) -> None:
    """A listing into `listed_source`; `hashes` by path, where the listing has none."""
    copy_in(connection, "listed_source", files)
    if hashes is None:
        return
    connection.execute("CREATE TEMP TABLE hashed (path text, hash text) ON COMMIT DROP")
    lines = (f"{path.translate(ESCAPED)}\t{hash_}\n" for path, hash_ in hashes)
    _copy_lines(connection, "hashed", lines)
    connection.execute(
        "UPDATE listed_source s SET hash = h.hash FROM hashed h WHERE h.path = s.path"
    )
    connection.execute("ANALYZE listed_source")


def _copy_lines(connection: Connection, into: str, lines: Iterator[str]) -> None:
    with connection.cursor().copy(f"COPY {into} FROM STDIN".encode()) as copy:
        # By the thousand: a call of write_row for each takes three times as long.
        while chunk := "".join(islice(lines, 5000)):
            copy.write(chunk)


def folders_among(connection: Connection, paths: Sequence[str]) -> list[str]:
    """Those of the paths, each with a `/` at its end, that are no file of `listed_source`."""
    rows = connection.execute(
        "SELECT u FROM unnest(%s::text[]) AS u "
        "WHERE NOT EXISTS (SELECT FROM listed_source s WHERE s.path || '/' = u)",
        (list(paths),),
    )
    return [path for (path,) in rows]


def copy_in_bytes(connection: Connection, read: Iterable[tuple[str, str]]) -> None:
    """Files whose bytes were read at the destination, and their hashes, into `bytes_read`."""
    connection.execute("CREATE TEMP TABLE bytes_read (path text, hash text) ON COMMIT DROP")
    with connection.cursor().copy("COPY bytes_read FROM STDIN") as copy:
        for row in read:
            copy.write_row(row)
    connection.execute("ANALYZE bytes_read")


def drop_twins(connection: Connection) -> list[str]:
    """Paths that `listed_source` has more than once; it has one without a hash of each then."""
    return [path for (path,) in connection.execute(DROP_TWINS)]


def note_problem(connection: Connection, place: Place, paths: Sequence[str], problem: str) -> None:
    """Say more closely why these have failed."""
    if paths:
        connection.execute(
            "UPDATE shq.file_destinations SET error = %s "
            "WHERE folder_id = %s AND destination = %s AND path = ANY(%s)",
            (problem, place.folder_id, place.destination, list(paths)),
        )


def note_listings(
    connection: Connection, place: Place, *, unread: Sequence[str], now: datetime
) -> Difference:
    """Judge the two listings copied in, and record what is there and what is not yet.

    `unread`: how paths begin that the source could not list, so that nobody knows of them.
    """
    values = {**vars(place), "unread": list(unread), "now": now}
    copy_in_bytes(connection, ())
    connection.execute(DAMAGED_IS_NOT_THERE.format("listed_source").encode(), values)
    connection.execute(NOTE_SOURCE, values)
    connection.execute(NOTE_GONE, values)
    counts = connection.execute(COUNTS).fetchone() or (0, 0, 0)
    send = connection.execute(TO_SEND, values).fetchall()
    return Difference(
        files=counts[0],
        same=counts[1],
        unreadable=counts[2],
        to_send=[ListedFile(*row[:3]) for row in send],
        to_replace=[row[0] for row in send if row[3]],
        to_prove={row[0]: (row[2], row[4]) for row in send if row[4]},
        damaged=[row[0] for row in send if row[5]],
        not_in_source=[path for (path,) in connection.execute(NOT_IN_SOURCE, values)],
    )


def note_unreachable(connection: Connection, place: Place, error: str, *, now: datetime) -> None:
    """Record that nothing of the source's listing could be brought there."""
    connection.execute(NOTE_UNREACHABLE, {**vars(place), "error": error, "now": now})


def note_tried(
    connection: Connection,
    place: Place,
    sent: Mapping[str, str | None],
    removed: Sequence[str],
    *,
    unsaid: str,
    now: datetime,
) -> tuple[int, int, int]:
    """Record what came of an attempt, by `listed_destination` and `bytes_read`, both copied in.

    `sent`: each path with what was said of it, if anything; `unsaid` is for those of which nothing
    was. How many are there now, their bytes, and how many of the removed are not.
    """
    connection.execute("CREATE TEMP TABLE tried (path text, error text) ON COMMIT DROP")
    with connection.cursor().copy("COPY tried (path, error) FROM STDIN") as copy:
        for row in sent.items():
            copy.write_row(row)
    connection.execute("ANALYZE tried")
    values = {**vars(place), "removed": list(removed), "unsaid": unsaid, "now": now}
    connection.execute(DAMAGED_IS_NOT_THERE.format("tried").encode(), values)
    connection.execute(NOTE_SENT, values)
    connection.execute(NOTE_REMOVED, values)
    return connection.execute(CAME_OF_IT, values).fetchone() or (0, 0, 0)


def has_synced_files(connection: Connection, place: Place) -> bool:
    """True when something of the policy is known to be there."""
    row = connection.execute(
        "SELECT FROM shq.file_destinations WHERE folder_id = %(folder_id)s "
        "AND destination = %(destination)s AND status = 'synced' LIMIT 1",
        vars(place),
    ).fetchone()
    return row is not None


def place_summaries(postgres: Database) -> list[PlaceSummary]:
    """All policies and destinations that anything is known of, also of removed policies."""
    with postgres.connect() as connection:
        return [PlaceSummary(*row) for row in connection.execute(SUMMARY, (PROVEN_DAYS,))]
