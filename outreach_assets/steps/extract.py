"""Neon rows into `<table>_raw`, all tables from one consistent snapshot.

Every raw row carries its state in `outreach_state`. Which rows are good is for validate.py; the
tables themselves are in tables/.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import duckdb
import duckdb_extension_postgres_scanner

from outreach_assets.steps.private_duckdb import NO_SPACE, Duck
from outreach_assets.tables.table import OwnState, StateOf, Table, quoted
from outreach_core.errors import PermanentError
from outreach_core.postgres import (
    REFUSALS,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    Postgres,
)
from outreach_core.states import ALL_STATES, STATE_CODES, UNASSIGNED

STATE = "outreach_state"
"""The column of a raw table that names the row's partition; it is not exported."""

NOT_FINITE = "outreach_not_finite"
"""How many numeric values of the row were NaN and are NULL now; only where a table has numerics."""


BOUNDED_NUMERIC = re.compile(r"numeric\((?P<precision>\d+),(?P<scale>\d+)\)")


class SourceTableMissingError(PermanentError):
    """The database has no such table, or hides it from this user."""


class SourceColumnMissingError(PermanentError):
    """A column that a key, a state or a rule needs is not in the source table."""


class ExtractError(PermanentError):
    """Postgres or DuckDB refused to hand over the rows."""


class RowsLostError(PermanentError):
    """Fewer or more rows arrived than the same snapshot of the table holds."""


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


@dataclass(frozen=True, kw_only=True)
class ExtractedTable:
    """What came of one table."""

    columns: Sequence[SourceColumn]
    rows: Mapping[str, int]
    """By state; states without a row are left out."""

    not_finite: Mapping[str, int]
    """Numeric values that were NaN and are NULL now, by state; states without one are left out."""


def extract_rows(
    duck: Duck, postgres: Postgres, tables: Sequence[Table], states: Sequence[str]
) -> dict[str, ExtractedTable]:
    """Fill `<table>_raw` of every table with the rows of the given states.

    The first table must be the one that knows states by its own rows. Raises
    DatabaseUnreachableError, DatabaseRefusedError, SourceTableMissingError,
    SourceColumnMissingError, RowsLostError or ExtractError.
    """
    _load_scanner(duck)
    everything = set(states) == set(ALL_STATES)
    with _attached(duck, postgres):
        found = {t.name: _source_columns(duck, t) for t in tables}
        for table in tables:
            columns = found[table.name]
            if everything and all(c.is_scanned_as_it_is for c in columns):
                duck.execute(_scan_sql(table, columns))
            else:
                duck.execute(_query_sql(duck, table, columns, states))
        if everything:
            for table in tables:
                _hold_to_source(duck, table)
    return {t.name: _facts(duck, t, found[t.name]) for t in tables}


def _load_scanner(duck: Duck) -> None:
    version = duckdb.__version__
    path = files(duckdb_extension_postgres_scanner) / "extensions" / f"v{version}"
    duck.execute(f"LOAD '{path / 'postgres_scanner.duckdb_extension'}'")


@contextmanager
def _attached(duck: Duck, postgres: Postgres) -> Iterator[None]:
    """Neon as `neon`, read-only, inside one DuckDB transaction: one REPEATABLE READ snapshot."""
    conninfo = postgres.conninfo.replace("'", "''")
    try:
        duck.execute(f"ATTACH '{conninfo}' AS neon (TYPE postgres, READ_ONLY)")
        duck.execute("BEGIN")
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


def _source_columns(duck: Duck, table: Table) -> list[SourceColumn]:
    # A bound value would make DuckDB import pandas and pyarrow first: 0.8 s (measured, 1.5.5).
    query = f"""
        SELECT a.attname::text,
            CASE t.typtype WHEN 'e' THEN 'text'
                WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
                ELSE format_type(a.atttypid, a.atttypmod) END,
            greatest(a.attndims, t.typndims)::int, t.typtype IN ('d', 'e')
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass('{table.source}') AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum"""
    rows = duck.execute(f"SELECT * FROM postgres_query('neon', {_literal(query)})").fetchall()
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


def _scan_sql(table: Table, columns: Sequence[SourceColumn]) -> str:
    """All rows by the scanner's own parallel scan: 1.19 x the floor, a query 1.48 x (D9)."""
    schema, name = table.source.split(".")
    listed = ", ".join(f"t.{quoted(c.name)}" for c in columns)
    source = f"neon.{quoted(schema)}.{quoted(name)} AS t"
    match table.state:
        case OwnState(column=column):
            state = _known_or_unassigned(f"t.{quoted(column)}")
        case StateOf(table=other, column=column):
            state = f"coalesce(s.{STATE}, '{UNASSIGNED}')"
            # Grouped, so that a key that is there twice does not make its people twice as many.
            source += f"""
                LEFT JOIN (SELECT {other.key} AS key, min({STATE}) AS {STATE}
                           FROM {other.raw} GROUP BY key) AS s ON s.key = t.{quoted(column)}"""
    return _clustered(table, f"SELECT {listed}, {state} AS {STATE} FROM {source}")


def _query_sql(
    duck: Duck, table: Table, columns: Sequence[SourceColumn], states: Sequence[str]
) -> str:
    """The rows of the given states, filtered in Postgres, every value cast so that it survives."""
    listed = [c.expression for c in columns]
    numerics = [f"(t.{quoted(c.name)} = 'NaN')" for c in columns if c.is_bounded_numeric]
    if numerics:
        listed.append(f"{' + '.join(f'coalesce({n}::int, 0)' for n in numerics)} AS {NOT_FINITE}")
    source = f"{table.source} AS t"
    match table.state:
        case OwnState(column=column):
            held_in = f"t.{quoted(column)}"
        case StateOf(table=Table(state=OwnState(column=there)) as other, column=column):
            held_in = f"s.{quoted(there)}"
            looked_up = other.source if _key_is_unique(duck, other) else _once_per_key(other, there)
            source += f" LEFT JOIN {looked_up} AS s ON s.{quoted(other.key)} = t.{quoted(column)}"
        case _:
            raise NotImplementedError(f"{table.name}: a state two tables away")
    listed.append(f"{_known_or_unassigned(held_in)} AS {STATE}")
    query = f"SELECT {', '.join(listed)} FROM {source} WHERE {_is_in(held_in, states)}"
    return _clustered(table, f"SELECT * FROM postgres_query('neon', {_literal(query)})")


def _key_is_unique(duck: Duck, table: Table) -> bool:
    """True when an index sees to it that no key is there twice."""
    query = f"""
        SELECT count(*)::int FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        WHERE i.indrelid = to_regclass('{table.source}') AND a.attname = {_literal(table.key)}
            AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
            AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum"""
    return _one(duck, f"SELECT * FROM postgres_query('neon', {_literal(query)})") > 0


def _once_per_key(table: Table, column: str) -> str:
    """Each key with one state, the same that `_scan_sql` gives it; reads the whole table."""
    state = f'min({_known_or_unassigned(quoted(column))} COLLATE "C")'
    key = quoted(table.key)
    return f"(SELECT {key}, {state} AS {quoted(column)} FROM {table.source} GROUP BY {key})"


def _clustered(table: Table, select: str) -> str:
    """The raw table with each state's rows together, so that export reads only a state's own.

    Sorting here and 57 filtered COPYs took half the time of a COPY with PARTITION_BY (measured).
    """
    return f"CREATE TABLE {table.raw} AS {select} ORDER BY {STATE}"


def _is_in(column: str, states: Sequence[str]) -> str:
    """The rows of these states. Each alternative alone, so that an index on the column is used."""
    if set(states) == set(ALL_STATES):
        return "TRUE"
    wanted = [s for s in states if s != UNASSIGNED]
    either = [f"{column} IN ({_listed(wanted)})"] if wanted else []
    if UNASSIGNED in states:
        either += [f"{column} IS NULL", f"{column} NOT IN ({_listed(STATE_CODES)})"]
    return "(" + " OR ".join(either) + ")"


def _known_or_unassigned(column: str) -> str:
    return f"CASE WHEN {column} IN ({_listed(STATE_CODES)}) THEN {column} ELSE '{UNASSIGNED}' END"


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(_literal(code) for code in codes)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hold_to_source(duck: Duck, table: Table) -> None:
    """Raise RowsLostError unless as many rows arrived as the snapshot holds."""
    counting = f"SELECT count(*) FROM {table.source}"
    there = _one(duck, f"SELECT * FROM postgres_query('neon', {_literal(counting)})")
    here = _one(duck, f"SELECT count(*) FROM {table.raw}")
    if here != there:
        raise RowsLostError(f"{table.source} holds {there} rows but {here} arrived; run it again")


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


def _one(duck: Duck, sql: str) -> int:
    return int(duck.execute(sql).fetchall()[0][0])
