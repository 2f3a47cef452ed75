"""Where each file of a policy is, in Postgres (shq.file_destinations): compared, recorded, counted.

Whole listings are copied in and judged by one statement each, so that a million files are no
problem. Who lists and who copies is in outreach_assets/steps/backups/back_up.py.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, Self

from outreach_core.postgres import Connection, Postgres


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

    not_in_source: Sequence[str]
    """The destination has them, the source does not."""

    def without(self, paths: Collection[str]) -> Self:
        """The same, but for files that need not be sent."""
        return replace(
            self,
            to_send=[file for file in self.to_send if file[0] not in paths],
            to_replace=[path for path in self.to_replace if path not in paths],
        )


LISTED = """
    CREATE TEMP TABLE {}
        (path text NOT NULL, size_bytes bigint NOT NULL, hash text, remote_hash text)
    ON COMMIT DROP"""

SAME = "d.hash = s.hash AND d.size_bytes = s.size_bytes"

# What the table says is true as soon as this is committed: what is not there is pending.
NOTE_SOURCE = f"""
    INSERT INTO shq.file_destinations AS f
        (folder_id, destination, path, status, size_bytes, hash, remote_path, error, attempts,
         synced_at, proven_at, changed_at, remote_hash, passphrase_mark)
    SELECT %(folder_id)s, %(destination)s, s.path,
           CASE WHEN {SAME} THEN 'synced' WHEN s.hash IS NULL THEN 'failed' ELSE 'pending' END,
           s.size_bytes, s.hash,
           CASE WHEN d.path IS NOT NULL THEN %(root)s || '/' || s.path END,
           CASE WHEN s.hash IS NULL THEN 'the source cannot be read' END,
           (s.hash IS NULL)::int,
           CASE WHEN {SAME} THEN %(now)s::timestamptz END,
           CASE WHEN {SAME} THEN %(now)s::timestamptz END,
           %(now)s,
           CASE WHEN {SAME} THEN d.remote_hash END,
           CASE WHEN {SAME} THEN %(passphrase_mark)s END
    FROM listed_source s LEFT JOIN listed_destination d USING (path)
    ON CONFLICT (folder_id, destination, path) DO UPDATE SET
        status = EXCLUDED.status, size_bytes = EXCLUDED.size_bytes, hash = EXCLUDED.hash,
        remote_path = EXCLUDED.remote_path, remote_hash = EXCLUDED.remote_hash,
        passphrase_mark = EXCLUDED.passphrase_mark,
        bytes_proven_at = CASE WHEN (f.hash, EXCLUDED.status) = (EXCLUDED.hash, 'synced')
                               THEN f.bytes_proven_at END,
        error = CASE WHEN EXCLUDED.status = 'pending' THEN f.error ELSE EXCLUDED.error END,
        attempts = CASE EXCLUDED.status WHEN 'synced' THEN 0
                   ELSE f.attempts + EXCLUDED.attempts END,
        synced_at = CASE WHEN f.status = 'synced' AND f.hash = EXCLUDED.hash
                         THEN f.synced_at ELSE coalesce(EXCLUDED.synced_at, f.synced_at) END,
        proven_at = coalesce(EXCLUDED.proven_at, f.proven_at),
        changed_at = CASE WHEN (f.status, f.hash) IS NOT DISTINCT FROM
                               (EXCLUDED.status, EXCLUDED.hash)
                          THEN f.changed_at ELSE EXCLUDED.changed_at END"""  # noqa: S608

# Rows whose file neither side has: it was removed while nobody looked, or never got there.
NOTE_GONE = """
    UPDATE shq.file_destinations f
    SET status = 'deleted', remote_path = NULL, error = NULL, changed_at = %(now)s
    WHERE folder_id = %(folder_id)s AND destination = %(destination)s AND status <> 'deleted'
      AND NOT EXISTS (SELECT FROM listed_source s WHERE s.path = f.path)
      AND NOT EXISTS (SELECT FROM listed_destination d WHERE d.path = f.path)
      AND NOT EXISTS (SELECT FROM unnest(%(unread)s::text[]) u WHERE starts_with(f.path, u))"""

COUNTS = f"""
    SELECT count(*), count(*) FILTER (WHERE {SAME}), count(*) FILTER (WHERE s.hash IS NULL)
    FROM listed_source s LEFT JOIN listed_destination d USING (path)"""  # noqa: S608

TO_SEND = f"""
    SELECT s.path, s.size_bytes, d.path IS NOT NULL, s.hash,
           CASE WHEN d.hash IS NULL AND d.size_bytes = s.size_bytes THEN d.remote_hash END
    FROM listed_source s LEFT JOIN listed_destination d USING (path)
    WHERE s.hash IS NOT NULL AND ({SAME}) IS NOT TRUE ORDER BY s.path"""  # noqa: S608

NOT_IN_SOURCE = """
    SELECT path FROM listed_destination d
    WHERE NOT EXISTS (SELECT FROM listed_source s WHERE s.path = d.path)
      AND NOT EXISTS (SELECT FROM unnest(%(unread)s::text[]) u WHERE starts_with(d.path, u))
    ORDER BY path"""

NOTE_SENT = """
    UPDATE shq.file_destinations f
    SET status = CASE WHEN d.hash = f.hash THEN 'synced' ELSE 'failed' END,
        remote_path = CASE WHEN d.path IS NOT NULL THEN %(root)s || '/' || f.path END,
        error = CASE WHEN d.hash = f.hash THEN NULL
                     ELSE coalesce(t.error, %(unsaid)s) END,
        attempts = CASE WHEN d.hash = f.hash THEN 0 ELSE f.attempts + 1 END,
        synced_at = CASE WHEN d.hash = f.hash THEN %(now)s ELSE f.synced_at END,
        proven_at = CASE WHEN d.hash = f.hash THEN %(now)s ELSE f.proven_at END,
        bytes_proven_at = NULL,
        remote_hash = CASE WHEN d.hash = f.hash THEN d.remote_hash END,
        passphrase_mark = CASE WHEN d.hash = f.hash THEN %(passphrase_mark)s END,
        changed_at = %(now)s
    FROM tried t LEFT JOIN listed_destination d USING (path)
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = t.path"""

NOTE_REMOVED = """
    UPDATE shq.file_destinations f
    SET status = CASE WHEN d.path IS NULL THEN 'deleted' ELSE 'failed' END,
        remote_path = CASE WHEN d.path IS NULL THEN NULL ELSE f.remote_path END,
        error = CASE WHEN d.path IS NOT NULL
                     THEN 'the source has it no more, and it could not be removed' END,
        changed_at = %(now)s
    FROM unnest(%(removed)s::text[]) AS r (path) LEFT JOIN listed_destination d USING (path)
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = r.path"""

CAME_OF_IT = """
    SELECT count(*) FILTER (WHERE d.hash = f.hash),
           coalesce(sum(f.size_bytes) FILTER (WHERE d.hash = f.hash), 0)::bigint,
           (SELECT count(*) FROM unnest(%(removed)s::text[]) AS r (path)
            WHERE NOT EXISTS (SELECT FROM listed_destination l WHERE l.path = r.path))
    FROM tried t JOIN shq.file_destinations f
         ON f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = t.path
    LEFT JOIN listed_destination d ON d.path = t.path"""

# Twins are one file that cannot be read: no hash, so that none of them is copied.
DROP_TWINS = """
    WITH twins AS (
      DELETE FROM listed_source WHERE path IN
        (SELECT path FROM listed_source GROUP BY path HAVING count(*) > 1)
      RETURNING path, size_bytes
    )
    INSERT INTO listed_source (path, size_bytes) SELECT path, max(size_bytes) FROM twins
    GROUP BY path RETURNING path"""

# The destination could not be asked: what it was proven to hold stays true for the same content.
NOTE_UNREACHABLE = """
    INSERT INTO shq.file_destinations AS f
        (folder_id, destination, path, status, size_bytes, hash, error, attempts, changed_at)
    SELECT %(folder_id)s, %(destination)s, s.path, 'failed', s.size_bytes, s.hash,
           CASE WHEN s.hash IS NULL THEN 'the source cannot be read' ELSE %(error)s END, 1, %(now)s
    FROM listed_source s
    ON CONFLICT (folder_id, destination, path) DO UPDATE SET
        status = 'failed', size_bytes = EXCLUDED.size_bytes, hash = EXCLUDED.hash,
        error = EXCLUDED.error, attempts = f.attempts + 1, changed_at = EXCLUDED.changed_at,
        remote_hash = CASE WHEN f.hash = EXCLUDED.hash THEN f.remote_hash END,
        bytes_proven_at = CASE WHEN f.hash = EXCLUDED.hash THEN f.bytes_proven_at END
        WHERE NOT (f.status = 'synced' AND f.hash IS NOT DISTINCT FROM EXCLUDED.hash)"""

SUMMARY = """
    SELECT folder_id, destination, count(*) FILTER (WHERE status = 'pending'),
           count(*) FILTER (WHERE status = 'synced'), count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'deleted'),
           coalesce(sum(size_bytes) FILTER (WHERE status = 'synced'), 0)::bigint,
           max(synced_at), max(proven_at),
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

    error: str | None
    """Why the newest of the failed ones failed."""


ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"
"""As COPY writes them."""


def copy_in(connection: Connection, table: str, files: Iterable[ListedFile]) -> None:
    """A listing into a temporary table of the transaction, `listed_source` for instance."""
    connection.execute(LISTED.format(table).encode())
    with connection.cursor().copy(f"COPY {table} (path, size_bytes, hash) FROM STDIN") as copy:
        # Lines by the thousand: a call of write_row for each takes three times as long.
        lines = (
            f"{path.translate(ESCAPED)}\t{size}\t{hash_ or NULL}\n" for path, size, hash_ in files
        )
        while chunk := "".join(islice(lines, 5000)):
            copy.write(chunk)
    connection.execute(f"ANALYZE {table}".encode())


def folders_among(connection: Connection, paths: Sequence[str]) -> list[str]:
    """Those of the paths, each with a `/` at its end, that are no file of `listed_source`."""
    rows = connection.execute(
        "SELECT u FROM unnest(%s::text[]) AS u "
        "WHERE NOT EXISTS (SELECT FROM listed_source s WHERE s.path || '/' = u)",
        (list(paths),),
    )
    return [path for (path,) in rows]


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
    connection.execute(NOTE_SOURCE, values)
    connection.execute(NOTE_GONE, values)
    counts = connection.execute(COUNTS).fetchone() or (0, 0, 0)
    send = connection.execute(TO_SEND).fetchall()
    return Difference(
        files=counts[0],
        same=counts[1],
        unreadable=counts[2],
        to_send=[ListedFile(path, size, hash_) for path, size, _, hash_, _ in send],
        to_replace=[path for path, _, is_there, *_ in send if is_there],
        to_prove={path: (hash_, there) for path, _, _, hash_, there in send if there},
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
    """Record what came of an attempt, by what the listing copied in as `listed_destination` has.

    `sent`: each path with what was said of it, if anything; `unsaid` is for those of which nothing
    was. How many are there now, their bytes, and how many of the removed are not.
    """
    connection.execute("CREATE TEMP TABLE tried (path text, error text) ON COMMIT DROP")
    with connection.cursor().copy("COPY tried (path, error) FROM STDIN") as copy:
        for row in sent.items():
            copy.write_row(row)
    connection.execute("ANALYZE tried")
    values = {**vars(place), "removed": list(removed), "unsaid": unsaid, "now": now}
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


def place_summaries(postgres: Postgres) -> list[PlaceSummary]:
    """All policies and destinations that anything is known of, also of removed policies."""
    with postgres.connect() as connection:
        return [PlaceSummary(*row) for row in connection.execute(SUMMARY)]
