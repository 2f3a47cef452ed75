"""A run's states in batches that fit in memory, each of which goes through the steps by itself."""

from collections.abc import Sequence

from outreach_assets.steps.source import Snapshot, count_by, size_bytes, source_columns
from outreach_assets.tables.table import Table
from outreach_core.states import STATE_CODES, UNASSIGNED

SHARE_OF_MEMORY = 0.5
"""How large a batch's tables may be in Postgres, as a share of DuckDB's memory limit. Sorting a
larger one spills: at M and 400 MB, all at once took 18 CPU seconds, five batches 14 (measured)."""


def in_batches(
    snapshot: Snapshot, tables: Sequence[Table], states: Sequence[str], memory_mb: int
) -> list[tuple[str, ...]]:
    """The states, in order, in as few batches as fit in memory; one state is never cut."""
    room = memory_mb * 1_000_000 * SHARE_OF_MEMORY
    size = size_bytes(snapshot, tables)
    if size <= room or len(states) == 1:
        return [tuple(states)]
    shares = _shares(snapshot, tables[0])
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


def _shares(snapshot: Snapshot, table: Table) -> dict[str, float]:
    """Each state's share of the rows of the first table, which knows states by its own rows."""
    source_columns(snapshot, table)  # says it clearly when the column is not there
    counted: dict[str, int] = {}
    for code, count in count_by(snapshot, table, table.state.column).items():
        state = code if code in STATE_CODES else UNASSIGNED
        counted[state] = counted.get(state, 0) + count
    total = sum(counted.values()) or 1
    return {state: count / total for state, count in counted.items()}
