"""The database's tables into Parquet files, all from one snapshot, each row proven by its hash.

What is taken is in contents.py; where the files go is for shelf.py.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from b2_resources.files import read_blocks, sha256_of
from outreach_assets.steps.backups.database.contents import (
    AS_TEXT,
    ROW_HASH,
    FoundTable,
    arrived_hash,
    find_contents,
    rows_sql,
)
from outreach_assets.steps.backups.database.rebuild import rebuilding
from outreach_assets.steps.backups.database.receipt import (
    RECEIPT,
    LeftOut,
    Receipt,
    TableFacts,
)
from outreach_assets.steps.extract import attached, load_scanner
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.source import Snapshot, held_snapshot
from outreach_assets.tables.table import literal
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres import LockNotAvailable, Postgres

ROLES = LeftOut(name="owners and grants", why="roles belong to a server, not to a database")


class ValuesAlteredError(PermanentError):
    """What lies in a file is not what Postgres handed over."""


class TableInUseError(RetryableError):
    """Somebody alters, or has made, a table at this very moment."""


def dump(duck: Duck, postgres: Postgres, folder: Path, *, version: str, run_id: str) -> Receipt:
    """Every table as a file in the folder, and the receipt beside them.

    Raises MasterHiddenError, ValuesAlteredError, TableInUseError and what reading Postgres raises.
    """
    load_scanner(duck)
    with _snapshot(postgres) as snapshot:
        contents = find_contents(snapshot.connection)
        statements, not_ours = rebuilding(snapshot.connection, contents)
        with attached(duck, snapshot):
            duck.execute(f"CALL postgres_execute('neon', {literal(AS_TEXT)})")
            tables = [
                _dumped(duck, snapshot, table, folder)
                for table in contents.tables
                if table.why_empty is None
            ]
        receipt = Receipt(
            version=version,
            run_id=run_id,
            postgres=_one(snapshot, "SHOW server_version"),
            duckdb=duckdb.__version__,
            migrations=_migrations(snapshot),
            tables=tuple(tables),
            statements=tuple(statements),
            left_out=(*contents.left_out, *not_ours, ROLES),
        )
    folder.joinpath(RECEIPT).write_bytes(receipt.body)
    return receipt


@contextmanager
def _snapshot(postgres: Postgres) -> Iterator[Snapshot]:
    """One snapshot of all the tables, none of which changes its form until the block ends."""
    with postgres.connect() as connection:
        connection.execute(AS_TEXT)
        names = [table.name for table in find_contents(connection).tables]
    try:
        with held_snapshot(postgres, unaltered=names) as snapshot:
            snapshot.connection.execute(AS_TEXT)
            if [table.name for table in find_contents(snapshot.connection).tables] != names:
                raise TableInUseError("tables were made or removed meanwhile: try again")
            yield snapshot
    except LockNotAvailable:
        raise TableInUseError("a table is being altered: try again when that is done") from None


def _dumped(duck: Duck, snapshot: Snapshot, table: FoundTable, folder: Path) -> TableFacts:
    path = folder / _file_name(table)
    query = f"postgres_query('neon', {literal(rows_sql(table.name, table.columns))})"
    duck.execute(
        f"COPY (SELECT * FROM {query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
    )
    there = int(_one(snapshot, f"SELECT count(*) FROM {table.name}"))
    rows, row_hash, altered = _arrived(duck, table, path)
    if altered or rows != there:
        raise ValuesAlteredError(
            f"{table.name}: of {there:,} rows {rows:,} arrived, {altered:,} of them with other "
            "values than Postgres has: report it"
        )
    return TableFacts(
        name=table.name,
        columns=tuple(table.columns),
        rows=rows,
        row_hash=str(row_hash),
        file=path.name,
        size_bytes=path.stat().st_size,
        sha256=sha256_of(read_blocks(path)),
    )


def _arrived(duck: Duck, table: FoundTable, path: Path) -> tuple[int, int, int]:
    """Rows, the sum of their hashes, and how many rows are not what their hash says.

    Reads the file back and hashes what is in it, as Postgres did before it handed the row over.
    """
    computed = arrived_hash(table.columns)
    row = duck.execute(
        f"SELECT count(*), coalesce(sum({ROW_HASH}), 0), "
        f"count(*) FILTER ({ROW_HASH} IS DISTINCT FROM {computed}) "
        f"FROM read_parquet({literal(str(path))})"
    ).fetchone()
    return row or (0, 0, 0)


def _file_name(table: FoundTable) -> str:
    """`shq.audit_log.parquet`; one that no disk or bucket minds and no two tables share."""
    if re.fullmatch(r"[a-z0-9_.]+", table.name):
        return f"{table.name}.parquet"
    return f"{re.sub('[^a-z0-9_.]', '-', table.name.lower())}-{table.oid}.parquet"


def _migrations(snapshot: Snapshot) -> tuple[str, ...]:
    rows = snapshot.connection.execute(
        "SELECT name FROM shq.outreach_migrations ORDER BY name"
    ).fetchall()
    return tuple(name for (name,) in rows)


def _one(snapshot: Snapshot, query: str) -> str:
    row = snapshot.connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else ""
