"""One snapshot of Neon for a whole run, and what its tables look like in it.

Small questions, asked with psycopg; the rows themselves are pulled by DuckDB, from the same
snapshot, in extract.py.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from outreach_assets.tables.table import Table, quoted
from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, Postgres

BOUNDED_NUMERIC = re.compile(r"numeric\((?P<precision>\d+),(?P<scale>\d+)\)")

COLUMNS = """
    SELECT a.attname::text,
        CASE t.typtype WHEN 'e' THEN 'text'
            WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
            ELSE format_type(a.atttypid, a.atttypmod) END,
        greatest(a.attndims, t.typndims)::int, t.typtype IN ('d', 'e')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum"""

UNIQUE_KEY = """
    SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
    WHERE i.indrelid = to_regclass(%s) AND a.attname = %s
        AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum"""

SIZE = """
    SELECT coalesce(sum(pg_relation_size(to_regclass(name))), 0) FROM unnest(%s::text[]) AS name"""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A consistent picture of the database, for as long as the connection behind it is open."""

    postgres: Postgres
    id: str
    """What `SET TRANSACTION SNAPSHOT` takes; works through a transaction pooler too."""

    connection: Connection = field(repr=False)


@contextmanager
def held_snapshot(postgres: Postgres, *, unaltered: Sequence[str] = ()) -> Iterator[Snapshot]:
    """Hold one snapshot until the block ends. Raises what `Postgres.connect` raises.

    `unaltered`: tables, as SQL, that nobody may alter meanwhile; raises LockNotAvailable.
    """
    with postgres.connect() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if unaltered:  # before there is a snapshot, or it would be older than their newest form
            connection.execute("SET LOCAL lock_timeout = '10s'")
            locking = f"LOCK TABLE {', '.join(unaltered)} IN ACCESS SHARE MODE"
            connection.execute(locking.encode())
        # A pooler or Neon would end an idle transaction, and with it the snapshot.
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        yield Snapshot(postgres=postgres, id=str(row[0]) if row else "", connection=connection)


class SourceTableMissingError(PermanentError):
    """The database has no such table, or hides it from this user."""


class SourceColumnMissingError(PermanentError):
    """A column that a key, a state or a rule needs is not in the source table."""


@dataclass(frozen=True, kw_only=True)
class SourceColumn:
    """A column as the source has it now."""

    name: str
    type: str
    """As Postgres writes it: `numeric(5,2)`, `text[]`; of a domain, the type below it."""

    dimensions: int
    is_own_type: bool = False
    """A domain or an enum: the scanner reads some of them one way and a query the other."""

    @cached_property
    def is_bounded_numeric(self) -> bool:
        """True for a numeric that DuckDB can hold exactly."""
        bounds = BOUNDED_NUMERIC.fullmatch(self.type)
        return bounds is not None and int(bounds["scale"]) <= int(bounds["precision"]) <= 38

    @property
    def expression(self) -> str:
        """What to select in Postgres so that the value arrives whole (FACTS on the scanner).

        A NaN in a bounded numeric would arrive as 0.00, so it becomes NULL and is counted. Other
        numerics go as double precision, which is how DuckDB reads them anyhow, but keeps their NaN;
        so do arrays of any numeric.
        """
        name = quoted(self.name)
        if self.is_bounded_numeric:
            return f"nullif(t.{name}, 'NaN')::{self.type} AS {name}"
        if self.dimensions > 1:
            return f"t.{name}::text AS {name}"
        if self.type.startswith("numeric"):
            array = "[]" if self.type.endswith("[]") else ""
            return f"t.{name}::double precision{array} AS {name}"
        if self.is_own_type:
            return f"t.{name}::{self.type} AS {name}"
        return f"t.{name}"

    @property
    def is_scanned_as_it_is(self) -> bool:
        """True when a plain table scan hands the value over just as well."""
        return self.expression == f"t.{quoted(self.name)}"


def source_columns(snapshot: Snapshot, table: Table) -> list[SourceColumn]:
    """The table's columns in order. Raises SourceTableMissingError or SourceColumnMissingError."""
    rows = snapshot.connection.execute(COLUMNS, (table.source,)).fetchall()
    if not rows:
        raise SourceTableMissingError(
            f"{table.source} does not exist in the database: "
            "create it, or run `outreach db migrate` on an empty one"
        )
    columns = [
        SourceColumn(name=name, type=type_, dimensions=dimensions, is_own_type=own)
        for name, type_, dimensions, own in rows
    ]
    missing = table.needed_columns - {c.name for c in columns}
    if missing:
        raise SourceColumnMissingError(
            f"{table.source} has no column {', '.join(sorted(missing))}, "
            "which its key, its state or one of its rules needs"
        )
    return columns


def key_is_unique(snapshot: Snapshot, table: Table) -> bool:
    """True when an index sees to it that no key is there twice."""
    return snapshot.connection.execute(UNIQUE_KEY, (table.source, table.key)).fetchone() is not None


def count_by(snapshot: Snapshot, table: Table, column: str) -> dict[str | None, int]:
    """How many rows the table holds for each value of the column."""
    counting = f"SELECT {quoted(column)}, count(*) FROM {table.source} GROUP BY 1"
    # As bytes, because psycopg's types want literal strings; both names are the catalogue's.
    return dict(snapshot.connection.execute(counting.encode()).fetchall())


def row_count(snapshot: Snapshot, table: Table) -> int:
    """How many rows the table holds."""
    counting = f"SELECT count(*) FROM {table.source}"
    row = snapshot.connection.execute(counting.encode()).fetchone()
    return int(row[0]) if row else 0


def size_bytes(snapshot: Snapshot, tables: Sequence[Table]) -> int:
    """How large the tables are in Postgres; one that is missing counts nothing."""
    row = snapshot.connection.execute(SIZE, ([table.source for table in tables],)).fetchone()
    return int(row[0]) if row else 0
