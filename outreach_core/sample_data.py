"""Fill the two source tables with made-up rows, inside Postgres, the same ones for the same seed.

The statements and what they promise about shares are in sql/sample_*.sql. Who may ask for this
and on which database is decided by the command line; the tables come from migrate.py.
"""

import time
from collections.abc import Callable
from importlib import resources

from outreach_core.errors import RetryableError
from outreach_core.postgres import (
    Connection,
    LockNotAvailable,
    Postgres,
    UndefinedSchema,
    UndefinedTable,
)
from outreach_core.sample_choices import (
    ExistingRows,
    SampleFacts,
    SampleRefusedError,
    SampleSize,
    SampleTarget,
)

COMPANIES = "marketing.company_master"
PEOPLE = "marketing.people_master"
# Progress moves once per statement; at this size each takes about a second.
ROWS_PER_STATEMENT = 37_000
LARGEST_SEED = 2**31 - 1
HAVE_ROWS = (
    "SELECT EXISTS (SELECT FROM marketing.company_master),"
    " EXISTS (SELECT FROM marketing.people_master)"
)


class SampleBusyError(RetryableError):
    """Somebody else holds the tables."""


def load_sample(
    postgres: Postgres,
    *,
    size: SampleSize,
    seed: int,
    target: SampleTarget,
    existing: ExistingRows = ExistingRows.REFUSE,
    progress: Callable[[str, float], None] | None = None,
) -> SampleFacts:
    """Fill both tables in one transaction, then ANALYZE them.

    `progress` hears the table's name and the share of the whole that is loaded, 0 to 1. Raises
    SampleRefusedError, SampleBusyError and the errors of `Postgres.connect`.
    """
    if target is SampleTarget.NAMED:
        raise SampleRefusedError(
            f"{postgres.name} is not the embedded database: sample rows are made up and belong "
            "only where somebody asks for them by name"
        )
    if not 0 <= seed <= LARGEST_SEED:
        raise SampleRefusedError(f"seed is {seed}: expected 0 to {LARGEST_SEED}")
    began = time.monotonic()
    with postgres.connect() as connection:
        _take_tables(connection, existing)
        _fill(connection, size, seed, progress or _silent)
    with postgres.connect() as connection:
        connection.execute(f"ANALYZE {COMPANIES}, {PEOPLE}")
    return SampleFacts(
        companies=size.companies, people=size.people, seconds=time.monotonic() - began
    )


def _silent(_table: str, _share: float) -> None:
    """Nobody listens."""


def _take_tables(connection: Connection, existing: ExistingRows) -> None:
    """Lock both tables against writers and see that they are empty, or empty them."""
    try:
        connection.execute("SET LOCAL lock_timeout = '30s'")
        connection.execute(f"LOCK TABLE {COMPANIES}, {PEOPLE} IN EXCLUSIVE MODE")
        if existing is ExistingRows.REPLACE:
            connection.execute(f"TRUNCATE {COMPANIES}, {PEOPLE}")
    except (UndefinedSchema, UndefinedTable):
        raise SampleRefusedError(
            f"{COMPANIES} or {PEOPLE} does not exist: run `outreach db migrate` first"
        ) from None
    except LockNotAvailable:
        raise SampleBusyError(
            f"{COMPANIES} or {PEOPLE} is in use: try again when the other job has ended"
        ) from None
    filled = _tables_with_rows(connection)
    if filled:
        raise SampleRefusedError(
            f"{' and '.join(filled)} already has rows: give `--replace` to delete them and load "
            "the sample instead"
        )


def _tables_with_rows(connection: Connection) -> list[str]:
    row = connection.execute(HAVE_ROWS).fetchone() or ()
    return [table for table, has_rows in zip((COMPANIES, PEOPLE), row, strict=True) if has_rows]


def _fill(
    connection: Connection, size: SampleSize, seed: int, progress: Callable[[str, float], None]
) -> None:
    # Compiling these long expressions takes longer than running them.
    connection.execute("SET LOCAL jit = off")
    whole, done = size.companies + size.people, 0
    for table, rows, statement in (
        (COMPANIES, size.companies, _statement("sample_companies.sql")),
        (PEOPLE, size.people, _statement("sample_people.sql")),
    ):
        for first in range(1, rows + 1, ROWS_PER_STATEMENT):
            last = min(first + ROWS_PER_STATEMENT - 1, rows)
            connection.execute(statement, {"seed": seed, "first": first, "last": last})
            done += last - first + 1
            progress(table, done / whole)


def _statement(name: str) -> bytes:
    return (resources.files("outreach_core") / "sql" / name).read_bytes()
