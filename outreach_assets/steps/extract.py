"""Neon rows into `<table>_raw`, all tables from one consistent snapshot.

Every raw row carries its state in `outreach_state`. Which rows are good is for validate.py; the
tables themselves are in tables/.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files

import duckdb
import duckdb_extension_postgres_scanner

from outreach_assets.steps.placement import known_or_unassigned, placed
from outreach_assets.steps.private_duckdb import NO_SPACE, Duck
from outreach_assets.steps.source import (
    Snapshot,
    SourceColumn,
    row_count,
    source_columns,
)
from outreach_assets.tables.table import OwnState, StateOf, Table, Verdict, literal, quoted
from outreach_core.errors import PermanentError
from outreach_core.postgres import REFUSALS, DatabaseRefusedError, DatabaseUnreachableError
from outreach_core.states import ALL_STATES, UNASSIGNED

STATE = "outreach_state"
"""The column of a raw table that names the row's partition; it is not exported."""

NOT_FINITE = "outreach_not_finite"
"""How many numeric values of the row were NaN and are NULL now; only where a table has numerics."""


class ExtractError(PermanentError):
    """Postgres or DuckDB refused to hand over the rows."""


class RowsLostError(PermanentError):
    """Fewer or more rows arrived than the same snapshot of the table holds."""


@dataclass(frozen=True, kw_only=True)
class ExtractedTable:
    """What came of one table."""

    columns: Sequence[SourceColumn]
    rows: Mapping[str, int]
    """By state; states without a row are left out."""

    not_finite: Mapping[str, int]
    """Numeric values that were NaN and are NULL now, by state; states without one are left out."""


def extract_rows(
    duck: Duck, snapshot: Snapshot, tables: Sequence[Table], states: Sequence[str]
) -> dict[str, ExtractedTable]:
    """Fill `<table>_raw` of every table with the rows of the given states, all from the snapshot.

    The first table must be the one that knows states by its own rows. Raises
    DatabaseUnreachableError, DatabaseRefusedError, SourceTableMissingError,
    SourceColumnMissingError or ExtractError.
    """
    load_scanner(duck)
    everything = set(states) == set(ALL_STATES)
    with attached(duck, snapshot):
        found = {t.name: source_columns(snapshot, t) for t in tables}
        for table in tables:
            columns = found[table.name]
            if everything and all(c.is_scanned_as_it_is for c in columns):
                duck.execute(_scan_sql(table, columns))
            else:
                duck.execute(_query_sql(snapshot, table, columns, states))
    return {t.name: _facts(duck, t, found[t.name]) for t in tables}


def hold_to_source(snapshot: Snapshot, tables: Sequence[Table], arrived: Mapping[str, int]) -> None:
    """Raise RowsLostError unless as many rows arrived, over all partitions, as the tables hold."""
    for table in tables:
        there = row_count(snapshot, table)
        if arrived[table.name] != there:
            raise RowsLostError(
                f"{table.source} holds {there} rows but {arrived[table.name]} arrived: report it"
            )


def fill_tables(duck: Duck, snapshot: Snapshot, queries: Mapping[str, str]) -> None:
    """Make DuckDB tables, by name, from queries that Postgres answers in the snapshot.

    Raises DatabaseUnreachableError, DatabaseRefusedError or ExtractError.
    """
    load_scanner(duck)
    with attached(duck, snapshot):
        for name, query in queries.items():
            answer = f"postgres_query('neon', {literal(query)})"
            duck.execute(f"CREATE TABLE {name} AS SELECT * FROM {answer}")


def load_scanner(duck: Duck) -> None:
    """DuckDB's Postgres extension from its wheel; nothing is downloaded. Raises duckdb.Error."""
    version = duckdb.__version__
    path = files(duckdb_extension_postgres_scanner) / "extensions" / f"v{version}"
    duck.execute(f"LOAD '{path / 'postgres_scanner.duckdb_extension'}'")


def drop_rows(duck: Duck, tables: Sequence[Table]) -> None:
    """Forget the raw tables and the views over them, so that the next batch has the memory."""
    for table in tables:
        for verdict in Verdict:
            duck.execute(f"DROP VIEW IF EXISTS {table.judged(verdict)}")
        duck.execute(f"DROP TABLE IF EXISTS {table.raw}")


@contextmanager
def attached(duck: Duck, snapshot: Snapshot) -> Iterator[None]:
    """Neon as `neon`, read-only, inside one transaction that sees what the snapshot sees.

    Raises DatabaseUnreachableError, DatabaseRefusedError or ExtractError, also inside the block.
    """
    postgres = snapshot.postgres
    conninfo = postgres.conninfo.replace("'", "''")
    try:
        duck.execute(f"ATTACH '{conninfo}' AS neon (TYPE postgres, READ_ONLY)")
        duck.execute("BEGIN")
        join = f"SET TRANSACTION SNAPSHOT {literal(snapshot.id)}"
        duck.execute(f"CALL postgres_execute('neon', {literal(join)})")
        try:
            yield
        except BaseException:
            _let_go(duck)
            raise
        duck.execute("COMMIT")
        duck.execute("DETACH neon")
    except duckdb.OutOfMemoryException:
        raise  # private_duckdb.py says which setting to raise
    except duckdb.Error as error:
        if NO_SPACE in str(error):
            raise
        says = postgres.redacted(str(error)).replace(conninfo, "***")
        raise _named(f"{postgres.name}: {says}") from None


def _let_go(duck: Duck) -> None:
    """End the transaction and the connection, whether the server is still there or not.

    Closing DuckDB with a transaction open on a lost connection aborts the process (seen, 1.5.5).
    """
    for statement in ("ROLLBACK", "DETACH neon"):
        with suppress(duckdb.Error):
            duck.execute(statement)


def _named(says: str) -> DatabaseRefusedError | DatabaseUnreachableError | ExtractError:
    lost = (
        "connect to Postgres",
        "server closed",
        "terminating connection",
        "no connection",
        "SSL",
    )
    if "connect to Postgres" in says and REFUSALS.search(says):
        return DatabaseRefusedError(f"the connection was refused: {says}")
    if any(words in says for words in lost):
        return DatabaseUnreachableError(f"the connection was lost or refused: {says}")
    return ExtractError(f"the rows could not be read: {says}")


def _scan_sql(table: Table, columns: Sequence[SourceColumn]) -> str:
    """All rows by the scanner's own parallel scan: 1.19 x the floor, a query 1.48 x (D9)."""
    schema, name = table.source.split(".")
    listed = ", ".join(f"t.{quoted(c.name)}" for c in columns)
    source = f"neon.{quoted(schema)}.{quoted(name)} AS t"
    match table.state:
        case OwnState(column=column):
            state = known_or_unassigned(f"t.{quoted(column)}")
        case StateOf(table=other, column=column):
            state = f"coalesce(s.{STATE}, '{UNASSIGNED}')"
            # Grouped, so that a key that is there twice does not make its people twice as many.
            source += f"""
                LEFT JOIN (SELECT {other.key} AS key, min({STATE}) AS {STATE}
                           FROM {other.raw} GROUP BY key) AS s ON s.key = t.{quoted(column)}"""
    return _clustered(table, f"SELECT {listed}, {state} AS {STATE} FROM {source}")


def _query_sql(
    snapshot: Snapshot, table: Table, columns: Sequence[SourceColumn], states: Sequence[str]
) -> str:
    """The rows of the given states, filtered in Postgres, every value cast so that it survives."""
    listed = [c.expression for c in columns]
    numerics = [f"(t.{quoted(c.name)} = 'NaN')" for c in columns if c.is_bounded_numeric]
    if numerics:
        listed.append(f"{' + '.join(f'coalesce({n}::int, 0)' for n in numerics)} AS {NOT_FINITE}")
    where = placed(snapshot, table)
    listed.append(f"{where.state} AS {STATE}")
    query = f"SELECT {', '.join(listed)} FROM {where.source} WHERE {where.is_in(states)}"
    # As a literal: a bound value would make DuckDB import pandas and pyarrow, 0.8 s (measured).
    return _clustered(table, f"SELECT * FROM postgres_query('neon', {literal(query)})")


def _clustered(table: Table, select: str) -> str:
    """The raw table with each state's rows together, so that export reads only a state's own.

    Sorting here and 57 filtered COPYs took half the time of a COPY with PARTITION_BY (measured).
    """
    return f"CREATE TABLE {table.raw} AS {select} ORDER BY {STATE}"


def _facts(duck: Duck, table: Table, columns: Sequence[SourceColumn]) -> ExtractedTable:
    has_numerics = any(c.is_bounded_numeric for c in columns)
    not_finite = f"sum({NOT_FINITE})" if has_numerics else "0"
    counted = duck.execute(
        f"SELECT {STATE}, count(*), {not_finite} FROM {table.raw} GROUP BY {STATE}"
    ).fetchall()
    if has_numerics:
        duck.execute(f"ALTER TABLE {table.raw} DROP COLUMN {NOT_FINITE}")
    return ExtractedTable(
        columns=columns,
        rows={state: rows for state, rows, _ in counted},
        not_finite={state: int(values) for state, _, values in counted if values},
    )
