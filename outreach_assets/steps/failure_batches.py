"""Which failures are exported together: batches, claimed in Postgres before the first byte.

A claim is one short transaction that makes the batch, its rows, its format and its key durable.
Writing, uploading and marking a batch is failure_export.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from b2_resources.keys import FailuresPlace, failures_key, failures_prefix
from outreach_assets.steps.failure_formats import FileShape
from outreach_assets.steps.failure_kinds import FailureFormat, FailureType
from outreach_assets.steps.record import NotMigratedError
from outreach_core.errors import RetryableError
from outreach_core.postgres import (
    Connection,
    LockNotAvailable,
    Postgres,
    UndefinedColumn,
    UndefinedSchema,
    UndefinedTable,
)
from outreach_core.states import STATE_CODES, UNASSIGNED

SEVERAL = "several"
"""The state of a batch whose rows are of more than one."""

LOCK = 0x6F75747265616366  # "outreacf": one claim at a time; falls with its transaction
LOCK_SECONDS = 60  # a claim of a million rows takes six
EVERYTHING = 2**31 - 1

# Two comparisons and not `IS NOT TRUE`: only these can use the partial indexes.
UNEXPORTED = "(f.exported_to_b2 = false OR f.exported_to_b2 IS NULL)"
STATE_OF = f"CASE WHEN f.state = ANY(%(codes)s) THEN f.state ELSE '{UNASSIGNED}' END"
WANTED = f"""
    {UNEXPORTED} AND f.failure_type = ANY(%(types)s)
    AND (%(state)s::text IS NULL OR {STATE_OF} = %(state)s)"""
SUMMED_STATE = f"CASE WHEN min(state) = max(state) THEN min(state) ELSE '{SEVERAL}' END"

# A row whose batch is exported and which says again that it is not, is to be exported again: the
# two are set in one transaction, so somebody wants it.
CLAIM = f"""
    WITH waiting AS MATERIALIZED (
        SELECT f.id, f.failure_type, f.pipeline_id, {STATE_OF} AS state,
            r.failure_id IS NOT NULL AS was_exported,
            (row_number() OVER (PARTITION BY f.failure_type, f.pipeline_id ORDER BY f.id) - 1)
                / %(batch_size)s AS place
        FROM marketing.validation_failures_log f
            LEFT JOIN shq.failure_batch_rows r ON r.failure_id = f.id
            LEFT JOIN shq.failure_batches b ON b.batch_id = r.batch_id
        WHERE {WANTED} AND b.status IS DISTINCT FROM 'claimed'
    ), batches AS MATERIALIZED (
        SELECT failure_type, pipeline_id, place, gen_random_uuid() AS batch_id,
            count(*)::int AS rows, {SUMMED_STATE} AS state
        FROM waiting GROUP BY failure_type, pipeline_id, place
    ), claimed AS (
        INSERT INTO shq.failure_batch_rows (failure_id, batch_id)
        SELECT w.id, b.batch_id
        FROM waiting w JOIN batches b USING (failure_type, pipeline_id, place)
        WHERE NOT w.was_exported ORDER BY w.id
    ), claimed_again AS (
        UPDATE shq.failure_batch_rows r SET batch_id = b.batch_id
        FROM waiting w JOIN batches b USING (failure_type, pipeline_id, place)
        WHERE w.was_exported AND r.failure_id = w.id
    )
    SELECT batch_id, failure_type, pipeline_id, state, (place + 1)::int, rows
    FROM batches ORDER BY failure_type, pipeline_id, place"""

ADD_BATCHES = """
    INSERT INTO shq.failure_batches (batch_id, failure_type, pipeline_id, state, number, format,
        safe_cells, key, later, rows, claimed_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""

TAKEN = "SELECT key FROM shq.failure_batches WHERE key = ANY(%s)"

WAITING = f"""
    SELECT failure_type, pipeline_id, {SUMMED_STATE}, count(*),
        min(created_at) FILTER (WHERE isfinite(created_at))
    FROM (SELECT f.failure_type, f.pipeline_id, f.created_at, {STATE_OF} AS state
          FROM marketing.validation_failures_log f WHERE {WANTED}) AS f
    GROUP BY failure_type, pipeline_id ORDER BY failure_type, pipeline_id"""

COLUMNS = """batch_id, failure_type, pipeline_id, state, number, format, safe_cells, key, later,
    rows, claimed_at, exported_at, sha256, size_bytes"""


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What somebody wants to have exported."""

    prefix: str
    """Of the keys: B2_VALIDATION_FAILURES_PREFIX."""

    types: Sequence[FailureType] = tuple(FailureType)
    file_format: FailureFormat = FailureFormat.JSON
    batch_size: int | None = None
    """Rows of a numbered batch, 1 or more; None for one file per pipeline."""

    state: str | None = None
    """A code or `unassigned`; None for all."""

    safe_cells: bool = True
    """CSV: spreadsheet formulas made harmless."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that go into one object."""

    batch_id: UUID
    failure_type: FailureType
    pipeline_id: str
    state: str
    """A code, `unassigned`, or `several`."""

    number: int | None
    file_format: FailureFormat
    safe_cells: bool
    key: str
    rows: int
    """Claimed; once exported, in the object."""

    claimed_at: datetime
    later: int = 1
    """2 and more when its name would else be that of an earlier export."""

    exported_at: datetime | None = None
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def status(self) -> str:
        """`claimed` or `exported`."""
        return "claimed" if self.exported_at is None else "exported"

    @property
    def shape(self) -> FileShape:
        """How its file is written."""
        return FileShape(
            failure_type=self.failure_type,
            file_format=self.file_format,
            safe_cells=self.safe_cells,
        )


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Failures of one pipeline that are in no finished export."""

    failure_type: FailureType
    pipeline_id: str
    state: str
    rows: int
    oldest: datetime | None
    """When the first of them was recorded."""


def claim_batches(connection: Connection, order: ExportOrder, *, now: datetime) -> list[Batch]:
    """Put every waiting row of the order into a batch with a key of its own, durably.

    Whoever claims at the same time waits for it. Raises RetryableError when that takes too long.
    """
    wanted = {**_wanted(order.types, order.state), "batch_size": order.batch_size or EVERYTHING}
    with _claiming(connection):
        batches = [
            Batch(
                batch_id=batch_id,
                failure_type=FailureType(failure_type),
                pipeline_id=pipeline_id,
                state=state,
                number=number if order.batch_size else None,
                file_format=order.file_format,
                safe_cells=order.safe_cells,
                key="",
                rows=rows,
                claimed_at=now,
            )
            for batch_id, failure_type, pipeline_id, state, number, rows in connection.execute(
                CLAIM, wanted
            )
        ]
        named = _with_free_keys(connection, batches, order.prefix)
        with connection.cursor() as cursor:
            cursor.executemany(ADD_BATCHES, [_added(batch) for batch in named])
    return named


def take_later_key(connection: Connection, batch: Batch) -> None:
    """Give a claimed batch whose key turned out to be taken the next free one, durably.

    Nothing happens when somebody else works on the batch meanwhile.
    """
    with _claiming(connection):
        ours = connection.execute(
            "SELECT FROM shq.failure_batches WHERE batch_id = %s AND key = %s "
            "AND status = 'claimed' FOR UPDATE SKIP LOCKED",
            (batch.batch_id, batch.key),
        ).fetchone()
        if ours is None:
            return
        prefix, later = failures_prefix(batch.key), batch.later + 1
        (renamed,) = _with_free_keys(connection, [batch], prefix, later=later)
        connection.execute(
            "UPDATE shq.failure_batches SET key = %s, later = %s WHERE batch_id = %s",
            (renamed.key, renamed.later, batch.batch_id),
        )


def waiting_failures(
    postgres: Postgres, types: Sequence[FailureType], state: str | None
) -> list[Waiting]:
    """What an export would send now, by pipeline; rows of unfinished batches are among it."""
    with migrated(postgres), postgres.connect() as connection:
        rows = connection.execute(WAITING, _wanted(types, state)).fetchall()
    return [
        Waiting(
            failure_type=FailureType(failure_type),
            pipeline_id=pipeline_id,
            state=of_state,
            rows=count,
            oldest=oldest,
        )
        for failure_type, pipeline_id, of_state, count, oldest in rows
    ]


def failure_batches(postgres: Postgres, *, limit: int) -> list[Batch]:
    """The newest batches, unfinished ones first."""
    with migrated(postgres), postgres.connect() as connection:
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM shq.failure_batches "
            "ORDER BY status = 'exported', claimed_at DESC, key LIMIT %s".encode(),
            (limit,),
        ).fetchall()
    return [as_batch(row) for row in rows]


@contextmanager
def migrated(postgres: Postgres) -> Iterator[None]:
    """Raise NotMigratedError when the tables or columns of the export are not there."""
    try:
        yield
    except (UndefinedTable, UndefinedSchema, UndefinedColumn):
        raise NotMigratedError(
            f"{postgres.name} lacks what the export of failures needs: run `outreach db migrate`"
        ) from None


def as_batch(row: Sequence[Any]) -> Batch:
    """A row of COLUMNS, as psycopg hands it over."""
    return Batch(
        batch_id=row[0],
        failure_type=FailureType(row[1]),
        pipeline_id=row[2],
        state=row[3],
        number=row[4],
        file_format=FailureFormat(row[5]),
        safe_cells=row[6],
        key=row[7],
        later=row[8],
        rows=row[9],
        claimed_at=row[10],
        exported_at=row[11],
        sha256=row[12],
        size_bytes=row[13],
    )


@contextmanager
def _claiming(connection: Connection) -> Iterator[None]:
    """A transaction in which nobody else claims rows or keys."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield
    except LockNotAvailable:
        raise RetryableError(
            f"another export has been claiming failures for {LOCK_SECONDS} s: wait for it or end it"
        ) from None


def _wanted(types: Sequence[FailureType], state: str | None) -> dict[str, object]:
    return {"codes": list(STATE_CODES), "types": list(types), "state": state}


def _with_free_keys(
    connection: Connection, batches: Sequence[Batch], prefix: str, *, later: int = 1
) -> list[Batch]:
    """The batches with the first keys that no batch has; all of one pipeline equally late."""
    named: list[Batch] = []
    left = list(batches)
    while left:
        tried = [
            replace(batch, key=failures_key(prefix, _place(batch, later)), later=later)
            for batch in left
        ]
        found = connection.execute(TAKEN, ([batch.key for batch in tried],)).fetchall()
        taken = {key for (key,) in found}
        late = {_export(batch) for batch in tried if batch.key in taken}
        named += [batch for batch in tried if _export(batch) not in late]
        left = [batch for batch in left if _export(batch) in late]
        later += 1
    return named


def _export(batch: Batch) -> tuple[str, str]:
    """What of one claim belongs together and is named alike."""
    return batch.failure_type, batch.pipeline_id


def _place(batch: Batch, later: int) -> FailuresPlace:
    return FailuresPlace(
        exported_on=batch.claimed_at.astimezone(UTC).date(),
        failure_type=batch.failure_type,
        pipeline_id=batch.pipeline_id,
        extension=batch.file_format,
        batch=batch.number,
        later=later,
    )


def _added(batch: Batch) -> tuple[object, ...]:
    """The values of ADD_BATCHES."""
    return (
        batch.batch_id,
        batch.failure_type,
        batch.pipeline_id,
        batch.state,
        batch.number,
        batch.file_format,
        batch.safe_cells,
        batch.key,
        batch.later,
        batch.rows,
        batch.claimed_at,
    )
