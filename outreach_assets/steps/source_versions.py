"""A version of each source table by state: it changes when any row of that state does.

One aggregate query per table over the rows' contents, so that rows deleted, rows edited without
`updated_at` and rows that went to another state are seen, and an update that changed nothing is
not. What is done with a version is in changed_states.py.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from outreach_assets.steps.placement import known_or_unassigned, placed
from outreach_assets.steps.source import Snapshot, SourceColumn, source_columns
from outreach_assets.tables.table import Table, quoted

# To the hash of any other type, two values may be equal that we publish differently (an enum with
# a new name, a float's -0), or there is none (json).
HASHED_AS_IT_IS = re.compile(
    r"(smallint|integer|bigint|boolean|date|uuid|timestamp(\(\d\))? with(out)? time zone)(\[\])?"
)
TEXT = re.compile(r"(text|character varying(\(\d+\))?)(\[\])?")

Versions = Mapping[str, Mapping[str, str]]
"""By state, then by table name: sixteen hex digits."""


def source_versions(
    snapshot: Snapshot, tables: Sequence[Table], states: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The version of every table in each of these states, also in those without a row.

    A run over few states pays for their rows only. Versions are comparable within one major
    version of Postgres. Raises SourceTableMissingError or SourceColumnMissingError.
    """
    # Compiling takes longer than counting; and no digit of a float may be left out.
    snapshot.connection.execute("SET LOCAL jit = off")
    snapshot.connection.execute("SET LOCAL extra_float_digits = 3")
    versions: dict[str, dict[str, str]] = {state: {} for state in states}
    for table in tables:
        columns = source_columns(snapshot, table)
        shape = [[c.name, c.type] for c in columns]
        query = _versions_sql(snapshot, table, columns, states)
        found = {s: numbers for s, *numbers in snapshot.connection.execute(query.encode())}
        for state in states:
            rows, total = found.get(state, (0, 0))
            versions[state][table.name] = _digest([shape, int(rows), int(total)])
    return versions


def _versions_sql(
    snapshot: Snapshot, table: Table, columns: Sequence[SourceColumn], states: Sequence[str]
) -> str:
    """By state: how many rows, and a sum of their hashes, which their order does not change.

    Hashed twice, because the hash of a record is linear in its values: a sum of it would not see
    two rows that swapped a value.
    """
    where = placed(snapshot, table)
    row = f"ROW({', '.join(_hashed(column) for column in columns)})"
    # Grouped by the column first: the state of every single row took 0.3 s more at M (measured).
    return f"""
        SELECT {known_or_unassigned("held_in")}, sum(rows), sum(total) FROM (
            SELECT {where.column} AS held_in, count(*) AS rows,
                sum(hashint8extended(hash_record_extended({row}, 0), 0)) AS total
            FROM {where.source} WHERE {where.is_in(states)} GROUP BY 1
        ) AS counted GROUP BY 1"""


def _hashed(column: SourceColumn) -> str:
    name = f"t.{quoted(column.name)}"
    if column.is_own_type or column.dimensions > 1:
        return f"{name}::text"
    if TEXT.fullmatch(column.type):
        return f'{name} COLLATE "C"'  # another collation may hold A and a for equal
    return name if HASHED_AS_IT_IS.fullmatch(column.type) else f"{name}::text"


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
