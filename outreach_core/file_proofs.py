"""What a verification finds out of files at a destination, in Postgres (shq.file_destinations).

Listings are copied in as for a backup (file_destinations.py). Here nothing is sent: a file that was
there must still be, and what is not as it was has a fault from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from outreach_core.file_destinations import PROVEN_DAYS, Place
from outreach_core.postgres import Connection, Postgres

SHOWN = 100
"""So many faults are named at once."""

# A policy that was just switched to encryption, or from it, has its files elsewhere.
OF_PLACE = """
    f.folder_id = %(folder_id)s AND f.destination = %(destination)s
    AND (f.status = 'synced' OR f.fault IS NOT NULL)
    AND (f.passphrase_mark IS NULL) = (%(passphrase_mark)s::text IS NULL)"""

# Where hashes of another kind came into use, files that no run looks at keep theirs.
OF_KIND = "starts_with(coalesce(f.remote_hash, f.hash), %(kind)s || ':')"

KINDS = f"""
    SELECT split_part(f.hash, ':', 1), split_part(coalesce(f.remote_hash, f.hash), ':', 1)
    FROM shq.file_destinations f WHERE {OF_PLACE} AND f.hash IS NOT NULL
    GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1"""  # noqa: S608

JUDGED = f"""
    CREATE TEMP TABLE judged ON COMMIT DROP AS
    SELECT f.path, s.hash AS source_hash, s.size_bytes AS source_bytes,
           coalesce(d.remote_hash, d.hash) AS found, coalesce(f.remote_hash, f.hash) AS wanted,
           CASE WHEN s.hash <> f.hash AND starts_with(f.hash, %(source_kind)s) THEN 'changed'
                WHEN d.path IS NULL THEN 'missing'
                WHEN coalesce(d.remote_hash, d.hash) IS NULL THEN 'damaged'
                WHEN d.hash IS DISTINCT FROM f.hash OR d.size_bytes <> f.size_bytes THEN 'replaced'
                WHEN f.fault = 'damaged' THEN 'damaged'
                ELSE 'sound' END AS verdict
    FROM shq.file_destinations f LEFT JOIN listed_destination d USING (path)
    LEFT JOIN listed_source s USING (path)
    WHERE {OF_PLACE} AND {OF_KIND}"""  # noqa: S608

NOTE_JUDGED = """
    UPDATE shq.file_destinations f
    SET status = CASE j.verdict WHEN 'sound' THEN 'synced' WHEN 'changed' THEN 'pending'
                 ELSE 'failed' END,
        fault = CASE WHEN j.verdict IN ('missing', 'replaced', 'damaged') THEN j.verdict END,
        error = CASE j.verdict
                WHEN 'changed' THEN 'the source has changed since it was sent'
                WHEN 'missing' THEN 'missing: it was there and is no more'
                WHEN 'replaced' THEN 'replaced: ' || j.found || ' is there, and not ' || j.wanted
                WHEN 'damaged' THEN CASE WHEN j.found IS NULL THEN 'damaged: it cannot be read'
                                    ELSE f.error END END,
        hash = CASE j.verdict WHEN 'changed' THEN j.source_hash ELSE f.hash END,
        size_bytes = CASE j.verdict WHEN 'changed' THEN j.source_bytes ELSE f.size_bytes END,
        remote_hash = CASE WHEN j.verdict <> 'changed' THEN f.remote_hash END,
        proven_at = CASE j.verdict WHEN 'sound' THEN %(now)s ELSE f.proven_at END,
        bytes_proven_at = CASE j.verdict WHEN 'sound' THEN f.bytes_proven_at END,
        changed_at = CASE WHEN f.status = 'synced' AND j.verdict = 'sound' OR f.fault = j.verdict
                     THEN f.changed_at ELSE %(now)s END
    FROM judged j
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = j.path"""

COMPARED = """
    SELECT (SELECT count(*) FROM judged WHERE verdict = 'changed'),
           (SELECT count(*) FROM listed_source s
            WHERE NOT EXISTS (SELECT FROM judged j WHERE j.path = s.path)),
           (SELECT count(*) FROM listed_destination d
            WHERE NOT EXISTS (SELECT FROM judged j WHERE j.path = d.path)),
           NOT EXISTS (SELECT FROM listed_source)"""

# What is damaged comes first, for only its bytes can prove that it is not any more.
TO_READ = f"""
    SELECT f.path, f.size_bytes, coalesce(f.remote_hash, f.hash) FROM shq.file_destinations f
    WHERE {OF_PLACE} AND {OF_KIND} AND (f.fault IS NULL OR f.fault = 'damaged')
    ORDER BY f.fault, f.bytes_proven_at NULLS FIRST, f.path LIMIT %(count)s"""  # noqa: S608

NOTE_READ = """
    UPDATE shq.file_destinations f
    SET status = CASE WHEN r.hash = coalesce(f.remote_hash, f.hash) THEN 'synced'
                 ELSE 'failed' END,
        fault = CASE WHEN r.hash <> coalesce(f.remote_hash, f.hash) THEN 'damaged' END,
        error = CASE WHEN r.hash <> coalesce(f.remote_hash, f.hash)
                THEN 'damaged: its bytes are ' || r.hash || ', and not '
                     || coalesce(f.remote_hash, f.hash) END,
        bytes_proven_at = CASE WHEN r.hash = coalesce(f.remote_hash, f.hash) THEN %(now)s END,
        changed_at = CASE WHEN r.hash = coalesce(f.remote_hash, f.hash) AND f.status = 'synced'
                     THEN f.changed_at ELSE %(now)s END
    FROM bytes_read r
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = r.path
      AND (f.status = 'synced' OR f.fault = 'damaged')"""

STANDING = f"""
    SELECT count(*), count(*) FILTER (WHERE f.fault IS NULL),
           count(*) FILTER (WHERE f.fault = 'missing'),
           count(*) FILTER (WHERE f.fault = 'replaced'),
           count(*) FILTER (WHERE f.fault = 'damaged'),
           count(*) FILTER (WHERE f.fault IS NULL
               AND f.bytes_proven_at > %(now)s::timestamptz - make_interval(days => %(days)s))
    FROM shq.file_destinations f WHERE {OF_PLACE}"""  # noqa: S608

FAULTS = f"""
    SELECT f.path, f.fault, f.hash, f.error FROM shq.file_destinations f
    WHERE {OF_PLACE} AND f.fault IS NOT NULL ORDER BY f.path LIMIT %(count)s"""  # noqa: S608


# Files that came later cannot have been read yet by a round that takes so many days.
OLD_ENOUGH = """
    SELECT folder_id, destination, count(*), count(*) FILTER (WHERE bytes_proven_at > %(since)s)
    FROM shq.file_destinations WHERE status = 'synced' AND synced_at <= %(since)s
    GROUP BY folder_id, destination ORDER BY folder_id, destination"""


class ProvenPlace(NamedTuple):
    """A policy's files at a destination that have been there for PROVEN_DAYS."""

    folder_id: str
    destination: str
    files: int
    proven: int
    """So many of them were read and found right meanwhile."""


class Fault(NamedTuple):
    """A file that was there and is not any more as it was."""

    path: str
    fault: str
    """`missing`, `replaced` or `damaged`."""

    hash: str
    """What it must be, in the clear."""

    error: str


class ToRead(NamedTuple):
    """A file whose bytes are to be read where it lies, and what must come out."""

    path: str
    size_bytes: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the listings say beside the files that must be there."""

    changed: int
    """The source has changed since they were sent."""

    waiting: int
    """In the source, and not known to be there."""

    unknown: int
    """There, and nobody knows of them."""

    is_source_empty: bool


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How files stand that were there once."""

    files: int
    sound: int
    missing: int
    replaced: int
    damaged: int
    bytes_proven: int
    """Sound ones that were read within PROVEN_DAYS."""

    faults: Sequence[Fault]
    """The first SHOWN."""


def recorded_kinds(connection: Connection, place: Place) -> tuple[str, str] | None:
    """The kinds of hash that files there are known by: the source's and the destination's."""
    return connection.execute(KINDS, vars(place)).fetchone()


def note_verified(
    connection: Connection, place: Place, kinds: tuple[str, str], *, now: datetime
) -> Compared:
    """Judge the two listings copied in, and record what is not there as it was.

    `kinds`: of the hashes in them, the source's and the destination's.
    """
    values = {**vars(place), "source_kind": f"{kinds[0]}:", "kind": kinds[1], "now": now}
    connection.execute(JUDGED, values)
    connection.execute("ANALYZE judged")
    connection.execute(NOTE_JUDGED, values)
    row = connection.execute(COMPARED).fetchone() or (0, 0, 0, False)
    return Compared(changed=row[0], waiting=row[1], unknown=row[2], is_source_empty=row[3])


def to_read(connection: Connection, place: Place, kind: str, count: int) -> list[ToRead]:
    """Those whose last proof by bytes is the oldest, and all that are known to be damaged first."""
    values = {**vars(place), "kind": kind, "count": count}
    return [ToRead(*row) for row in connection.execute(TO_READ, values)]


def note_read(connection: Connection, place: Place, *, now: datetime) -> None:
    """Record what the bytes are, copied in as `bytes_read`."""
    connection.execute(NOTE_READ, {**vars(place), "now": now})


def standing(connection: Connection, place: Place, *, now: datetime) -> Standing:
    """How the place stands."""
    values = {**vars(place), "now": now, "days": PROVEN_DAYS}
    row = connection.execute(STANDING, values).fetchone() or (0,) * 6
    names = ("files", "sound", "missing", "replaced", "damaged", "bytes_proven")
    return Standing(**dict(zip(names, row, strict=True)), faults=faults(connection, place, SHOWN))


def faults(connection: Connection, place: Place, count: int | None = None) -> list[Fault]:
    """What is not there as it was, by path; all of it, or the first."""
    rows = connection.execute(FAULTS, {**vars(place), "count": count})
    return [Fault(*row) for row in rows]


def proven_places(postgres: Postgres, *, now: datetime) -> list[ProvenPlace]:
    """How much was read of what has been there for PROVEN_DAYS, of removed policies too."""
    since = {"since": now - timedelta(days=PROVEN_DAYS)}
    with postgres.connect() as connection:
        return [ProvenPlace(*row) for row in connection.execute(OLD_ENOUGH, since)]
