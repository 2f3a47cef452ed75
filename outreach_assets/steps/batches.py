"""One snapshot of Neon for a whole run, and the states in batches that fit in memory.

A run reads every batch from the same exported snapshot, so all of them together are one
consistent picture. Reading itself is in extract.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from outreach_assets.tables.table import OwnState, Table, quoted
from outreach_core.postgres import Connection, Postgres, UndefinedColumn, UndefinedTable
from outreach_core.states import STATE_CODES, UNASSIGNED

SHARE_OF_MEMORY = 0.5
"""How large a batch's tables may be in Postgres, as a share of DuckDB's memory limit. Sorting a
larger one spills: at M and 400 MB all at once took 20 CPU seconds, in batches 14 (measured)."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A consistent picture of the database, for as long as the connection behind it is open."""

    postgres: Postgres
    id: str
    """What `SET TRANSACTION SNAPSHOT` takes; works through a transaction pooler too."""

    connection: Connection = field(repr=False)


@contextmanager
def held_snapshot(postgres: Postgres) -> Iterator[Snapshot]:
    """Hold one snapshot until the block ends."""
    with postgres.connect() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        yield Snapshot(postgres=postgres, id=str(row[0]) if row else "", connection=connection)


def in_batches(
    snapshot: Snapshot, tables: Sequence[Table], states: Sequence[str], memory_mb: int
) -> list[tuple[str, ...]]:
    """The states, in order, in as few batches as fit in memory; one state is never cut."""
    room = memory_mb * 1_000_000 * SHARE_OF_MEMORY
    size = _size_bytes(snapshot.connection, tables)
    if size <= room:
        return [tuple(states)]
    shares = _shares(snapshot.connection, tables[0])
    batches: list[list[str]] = [[]]
    filled = 0.0
    for state in states:
        needed = size * shares.get(state, 0.0)
        if batches[-1] and filled + needed > room:
            batches.append([])
            filled = 0.0
        batches[-1].append(state)
        filled += needed
    return [tuple(batch) for batch in batches]


def _size_bytes(connection: Connection, tables: Sequence[Table]) -> int:
    """The tables' size in Postgres; one that is missing counts nothing, and extract names it."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_relation_size(to_regclass(name))), 0) FROM unnest(%s::text[]) name",
        ([table.source for table in tables],),
    ).fetchone()
    return int(row[0]) if row else 0


def _shares(connection: Connection, table: Table) -> dict[str, float]:
    """Each state's share of the rows of the table that knows states by its own rows."""
    match table.state:
        case OwnState(column=column):
            pass
        case _:
            raise NotImplementedError(f"{table.name}: the first table must hold its own state")
    counted: dict[str, int] = {}
    counting = f"SELECT {quoted(column)}, count(*) FROM {table.source} GROUP BY 1"
    try:
        # No value from outside: both names come from the catalogue.
        rows = connection.execute(counting.encode()).fetchall()
    except (UndefinedColumn, UndefinedTable):
        return {}  # extract says it better
    for code, count in rows:
        state = code if code in STATE_CODES else UNASSIGNED
        counted[state] = counted.get(state, 0) + count
    total = sum(counted.values()) or 1
    return {state: count / total for state, count in counted.items()}
