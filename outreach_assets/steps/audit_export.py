"""A day of the audit log as Parquet in the store, and the proof that those days still give.

An object holds the rows of one UTC day as they were hashed, and its metadata the position and hash
that the day closed with. A chain that somebody hashed anew from an altered row on is whole in
itself; these hashes, which lie elsewhere, tell. How a chain is judged alone: audit_chain.py.
"""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from b2_resources.keys import AUDIT_PREFIX, audit_day, audit_key
from b2_resources.object_store import ObjectMissingError, ObjectStore
from outreach_assets.steps.private_duckdb import Duck, disk_errors
from outreach_core.audit import AUDIT_EXPORTED, SOURCE, AuditEvent, open_log, write_event
from outreach_core.audit_chain import (
    HASHED,
    Break,
    BrokenLink,
    ChainReport,
    broken_links,
    check_chain,
    hashing,
)
from outreach_core.errors import PermanentError
from outreach_core.postgres import Postgres

ROWS_AT_ONCE = 1000
HEADS_AT_ONCE = 16

DAYS = """
    SELECT (chained_at AT TIME ZONE 'UTC')::date AS day, min(chain_position), max(chain_position),
        count(*)
    FROM shq.audit_log WHERE chained_at < %s GROUP BY 1 ORDER BY 1"""

LINES = f"""
    SELECT jsonb_build_object('id', id, 'event_type', hashed_row::jsonb ->> 'event_type',
        'event_source', hashed_row::jsonb ->> 'event_source',
        'details', hashed_row::jsonb ->> 'details',
        'created_at', hashed_row::jsonb ->> 'created_at',
        'chain_position', position, 'chained_at', hashed_row::jsonb ->> 'chained_at',
        'previous_hash', previous_hash, 'row_hash', row_hash, 'hashed_row', hashed_row)::text
    FROM ({HASHED} WHERE chain_position BETWEEN %(first)s AND %(last)s) AS hashed
    ORDER BY position"""

# hashed_row is the very text: `sha256(hashed_row) = row_hash`, with any tool, without a database.
PARQUET = """
    COPY (
        SELECT id, event_type, event_source, details,
            try_cast(created_at AS TIMESTAMP) AS created_at, chain_position,
            try_cast(chained_at AS TIMESTAMPTZ) AS chained_at, previous_hash, row_hash, hashed_row
        FROM read_json('{lines}', format = 'newline_delimited', columns = {{
            id: 'BIGINT', event_type: 'VARCHAR', event_source: 'VARCHAR', details: 'VARCHAR',
            created_at: 'VARCHAR', chain_position: 'BIGINT', chained_at: 'VARCHAR',
            previous_hash: 'VARCHAR', row_hash: 'VARCHAR', hashed_row: 'VARCHAR'}})
        ORDER BY chain_position
    ) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"""


class AuditExportError(PermanentError):
    """A day cannot be exported, or its object is not what we exported."""


@dataclass(frozen=True, kw_only=True)
class LogDay:
    """The positions of one UTC day, both ends included."""

    day: date
    first: int
    last: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Closing:
    """What the object of a day says that its rows were."""

    key: str
    day: date
    first: int
    position: int
    hash: str
    rows: int
    is_new: bool = False
    """True when this call uploaded it."""


def export_owed(
    postgres: Postgres, store: ObjectStore, duck: Duck, folder: Path, *, who: str
) -> list[Closing]:
    """Export every finished day that has no object yet, the oldest first.

    `folder`: where files may lie meanwhile. Raises AuditExportError and the errors of both stores.
    """
    there = {audit_day(found.key) for found in store.list_objects(AUDIT_PREFIX)}
    _until, days = finished_days(postgres)
    return [
        _export(postgres, store, duck, folder, day, who=who) for day in days if day.day not in there
    ]


def export_day(
    postgres: Postgres, store: ObjectStore, duck: Duck, folder: Path, day: date, *, who: str
) -> Closing:
    """Export that day, unless its object is there already.

    Raises AuditExportError for a day that is not over, has no events, or is not what was exported.
    """
    until, days = finished_days(postgres)
    if day >= until.date():
        raise AuditExportError(f"{day} (UTC) is not over yet: export it when it is")
    for found in days:
        if found.day == day:
            return _export(postgres, store, duck, folder, found, who=who)
    raise AuditExportError(f"the audit log has no event of {day} (UTC)")


def finished_days(postgres: Postgres) -> tuple[datetime, list[LogDay]]:
    """The start of today by the database's clock, and every day before it that has events."""
    with open_log(postgres) as connection:
        # Whoever is writing has begun, perhaps before midnight: wait until they are done.
        connection.execute("SELECT FROM shq.audit_head FOR SHARE")
        ((now,),) = connection.execute("SELECT statement_timestamp()").fetchall()
    until = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with open_log(postgres) as connection:
        rows = connection.execute(DAYS, (until,)).fetchall()
    return until, [LogDay(day=d, first=first, last=last, rows=n) for d, first, last, n in rows]


def verify(postgres: Postgres, store: ObjectStore) -> ChainReport:
    """Judge the chain, and compare it with every day that was exported."""
    report = check_chain(postgres)
    return replace(report, breaks=(*report.breaks, *_export_breaks(postgres, closings(store))))


def closings(store: ObjectStore) -> list[Closing]:
    """What every exported day closed with, the oldest first: one HEAD each."""
    keys = [found.key for found in store.list_objects(AUDIT_PREFIX) if audit_day(found.key)]
    with ThreadPoolExecutor(HEADS_AT_ONCE, thread_name_prefix="head") as pool:
        return list(pool.map(lambda key: _closing(store, key), keys))


def _closing(store: ObjectStore, key: str) -> Closing:
    said, day = store.head(key).metadata, audit_day(key)
    try:
        return Closing(
            key=key,
            day=day or date.min,
            first=int(said["first-position"]),
            position=int(said["closing-position"]),
            hash=said["closing-hash"],
            rows=int(said["rows"]),
        )
    except (KeyError, ValueError) as error:
        raise AuditExportError(
            f"{key} does not say what its day closed with ({error}): it was not exported by us, or "
            "was put there anew; look at its older versions in the bucket"
        ) from None


def _export_breaks(postgres: Postgres, exported: Sequence[Closing]) -> Iterator[BrokenLink]:
    with open_log(postgres) as connection:
        hashes = dict(
            connection.execute(
                "SELECT chain_position, row_hash FROM shq.audit_log WHERE chain_position = ANY(%s)",
                ([closing.position for closing in exported],),
            ).fetchall()
        )
    after = 0
    for closing in exported:
        if closing.first != after + 1:
            yield BrokenLink(
                kind=Break.UNPROVEN,
                position=after + 1,
                says=f"positions {after + 1} to {closing.first - 1} are in no export: "
                "`outreach audit export` makes it anew, from what the table says today",
            )
        if closing.position not in hashes:
            yield BrokenLink(
                kind=Break.CUT,
                position=closing.position,
                says=f"{closing.key} closed at position {closing.position}, which is gone",
            )
        elif hashes[closing.position] != closing.hash:
            yield BrokenLink(
                kind=Break.REWRITTEN,
                position=closing.position,
                says=f"positions {closing.first} to {closing.position} are not the ones that "
                f"{closing.key} closed with: a row there was altered and all hashes after it "
                "computed anew; the object holds the rows as they were",
            )
            return  # every later one follows from it
        after = closing.position


def _export(
    postgres: Postgres, store: ObjectStore, duck: Duck, folder: Path, day: LogDay, *, who: str
) -> Closing:
    closing = _closing_of(postgres, day)
    try:
        there = _closing(store, closing.key)
    except ObjectMissingError:
        pass
    else:
        if there != closing:
            raise AuditExportError(
                f"{closing.key} closed {there.rows} rows with {there.hash[:12]}…, the table has "
                f"{day.rows} that close with {closing.hash[:12]}…: nothing is written over it; "
                "run `outreach audit verify`"
            )
        return there
    with _day_as_parquet(postgres, duck, folder, day) as path:
        store.put_file(
            closing.key,
            path,
            metadata={
                "day": f"{day.day}",
                "rows": f"{closing.rows}",
                "first-position": f"{closing.first}",
                "closing-position": f"{closing.position}",
                "closing-hash": closing.hash,
            },
        )
    _tell(postgres, closing, who)
    return replace(closing, is_new=True)


def _closing_of(postgres: Postgres, day: LogDay) -> Closing:
    """The day as the table has it, after a look that its rows are as they were hashed."""
    with open_log(postgres) as connection:
        wrong = broken_links(connection, day.first, day.last)
        if wrong:
            raise AuditExportError(
                f"{day.day} is not exported, because it would prove what is not true: "
                f"{wrong[0].says}; run `outreach audit verify`"
            )
        ((closing_hash,),) = connection.execute(
            "SELECT row_hash FROM shq.audit_log WHERE chain_position = %s", (day.last,)
        ).fetchall()
    return Closing(
        key=audit_key(day.day),
        day=day.day,
        first=day.first,
        position=day.last,
        hash=closing_hash,
        rows=day.rows,
    )


@contextmanager
def _day_as_parquet(postgres: Postgres, duck: Duck, folder: Path, day: LogDay) -> Iterator[Path]:
    """The file, for the length of the block."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="audit-") as made:
            lines, target = Path(made) / "lines.json", Path(made) / "audit.parquet"
            _write_lines(postgres, day, lines)
            duck.execute(PARQUET.format(lines=_escaped(lines), target=_escaped(target)))
            yield target


def _write_lines(postgres: Postgres, day: LogDay, path: Path) -> None:
    """One JSON object for each row, never all of them in memory."""
    with open_log(postgres) as connection, path.open("w", encoding="utf-8") as out:
        values = {**hashing(connection), "first": day.first, "last": day.last}
        with connection.cursor() as cursor:
            for (line,) in cursor.stream(LINES.encode(), values, size=ROWS_AT_ONCE):
                out.write(f"{line}\n")


def _tell(postgres: Postgres, closing: Closing, who: str) -> None:
    details = {
        "who": who,
        "key": closing.key,
        "day": f"{closing.day}",
        "rows": closing.rows,
        "closing_position": closing.position,
        "closing_hash": closing.hash,
    }
    with open_log(postgres) as connection:
        write_event(
            connection,
            AuditEvent(event_type=AUDIT_EXPORTED, event_source=SOURCE, details=details),
        )


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
