"""What is exported of the failures: which wait, and the batches that others have been put into.

Claiming a batch is claims.py's, exporting it export.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from outreach_assets.steps.failures.formats import FileShape
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_assets.steps.record import NotMigratedError
from outreach_core.postgres import (
    Postgres,
    UndefinedColumn,
    UndefinedSchema,
    UndefinedTable,
)
from outreach_core.states import STATE_CODES, UNASSIGNED

SEVERAL = "several"
"""The state of a batch whose rows are of more than one."""

# Two comparisons and not `IS NOT TRUE`: only these can use the partial indexes.
UNEXPORTED = "(f.exported_to_b2 = false OR f.exported_to_b2 IS NULL)"
STATE_OF = f"CASE WHEN f.state = ANY(%(codes)s) THEN f.state ELSE '{UNASSIGNED}' END"
WANTED = f"""
    {UNEXPORTED} AND f.failure_type = ANY(%(types)s)
    AND (%(state)s::text IS NULL OR {STATE_OF} = %(state)s)"""
SUMMED_STATE = f"CASE WHEN min(state) = max(state) THEN min(state) ELSE '{SEVERAL}' END"

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


def waiting_failures(
    postgres: Postgres, types: Sequence[FailureType], state: str | None
) -> list[Waiting]:
    """What an export would send now, by pipeline; rows of unfinished batches are among it."""
    with migrated(postgres), postgres.connect() as connection:
        rows = connection.execute(WAITING, wanted(types, state)).fetchall()
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
    """Raise NotMigratedError when tables or columns of the log or its export are not there."""
    try:
        yield
    except (UndefinedTable, UndefinedSchema, UndefinedColumn):
        raise NotMigratedError(
            f"{postgres.name} lacks what the failures log and its export need: "
            "run `outreach db migrate`"
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


def wanted(types: Sequence[FailureType], state: str | None) -> dict[str, object]:
    """The parameters of WANTED."""
    return {"codes": list(STATE_CODES), "types": list(types), "state": state}
