"""Which tables the backup takes, with their columns, and the SQL that hands over their values.

All of it is asked of Postgres's catalogue, so that a new table comes along by itself; what is left
out is named with a reason. How the tables are made again is in rebuild.py.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from outreach_assets.steps.backups.database.receipt import ColumnFacts, LeftOut
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import quoted
from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection

SCHEMAS = ("marketing", "shq")
"""Where the masters and the project's own tables are."""

ROW_HASH = "outreach_row_hash"
"""The column of each Parquet file that holds what Postgres computed of the row."""

NO_ROWS = {
    "shq.user_tokens": "hashes of tokens: whoever restored a backup would honour tokens that were "
    "revoked since; give new ones with `outreach users token`",
}
"""Tables that come back empty, and why."""

# DuckDB holds their values exactly; of every other type a value goes as Postgres writes it, and
# Postgres reads it (D9: the scanner turns a numeric NaN into 0, jsonb into a plain text, and fails
# at int[][]; timestamps have years that DuckDB has not).
AS_THEY_ARE = re.compile(r"boolean|smallint|integer|bigint|text|character varying(\(\d+\))?")

# How values are written as text is the session's choice; another one would be another hash.
AS_TEXT = """
    SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1;
    SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; SET LOCAL xmlbinary = 'base64';
    SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off; SET LOCAL jit = off"""

RELATIONS = """
    SELECT c.oid::int8, c.oid::regclass::text, c.relkind::text, c.relpersistence = 'u',
        has_table_privilege(c.oid, 'SELECT')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'f')
        AND NOT EXISTS (SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY n.nspname, c.relname"""

COLUMNS = """
    SELECT attname::text, format_type(atttypid, atttypmod), attgenerated <> ''
    FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""

NOT_ORDINARY = {
    "p": "it is partitioned: its partitions come along as tables of their own",
    "f": "it is a foreign table: its rows are in another database",
}


class MasterHiddenError(PermanentError):
    """A table that must be in a backup cannot be read."""


@dataclass(frozen=True, kw_only=True)
class FoundTable:
    """A table that comes along."""

    oid: int
    name: str
    """As SQL."""

    columns: Sequence[ColumnFacts]
    why_empty: str | None = None
    """Why its rows do not come along."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the backup takes, and what it does not."""

    tables: Sequence[FoundTable]
    left_out: Sequence[LeftOut]


def find_contents(connection: Connection) -> Contents:
    """What there is in this transaction, which `AS_TEXT` was told. Raises MasterHiddenError."""
    tables: list[FoundTable] = []
    left_out: list[LeftOut] = []
    for oid, name, kind, is_unlogged, may_read in connection.execute(
        RELATIONS, (list(SCHEMAS),)
    ).fetchall():
        why = NOT_ORDINARY.get(kind) or (None if may_read else "NEON_USER may not read it")
        if why:
            left_out.append(LeftOut(name=name, why=why))
            continue
        why_empty = NO_ROWS.get(name) or (
            "it is unlogged: a crash of the server empties it anyway" if is_unlogged else None
        )
        if why_empty:
            left_out.append(LeftOut(name=f"{name}, its rows", why=why_empty))
        columns = _columns(connection, oid)
        tables.append(FoundTable(oid=oid, name=name, columns=columns, why_empty=why_empty))
    _hold_to_masters(tables, left_out)
    return Contents(tables=tables, left_out=left_out)


def rows_sql(name: str, columns: Iterable[ColumnFacts]) -> str:
    """Every row for the file: its values, and the hash of them that Postgres computes."""
    named = [quoted(column.name) for column in columns]
    carried = [_carried(column) for column in columns]
    # OFFSET 0: without it each value would be written as text again for the hash.
    return (
        f"SELECT {', '.join(named)}, {_hash(named, 'text', 'octet_length')} AS {ROW_HASH} "
        f"FROM (SELECT {', '.join(carried)} FROM {name} OFFSET 0) AS carried"
    )


def hash_sql(name: str, columns: Iterable[ColumnFacts]) -> str:
    """How many rows a table holds, and the sum of their hashes: no order changes it."""
    rows = rows_sql(name, columns)
    return f"SELECT count(*), coalesce(sum({ROW_HASH}), 0) FROM ({rows}) AS rows"


def arrived_hash(columns: Iterable[ColumnFacts]) -> str:
    """SQL for DuckDB: the hash of a row of the file, computed of what has arrived."""
    return _hash([quoted(column.name) for column in columns], "VARCHAR", "strlen")


def _hash(named: Sequence[str], text: str, length: str) -> str:
    """60 bits of the md5 of all values, each with its length before it, so that none imitates two.

    Both Postgres and DuckDB know md5, and how many bytes a text has.
    """
    # Of a NULL concat makes nothing: `:`, where an empty text is `0:`.
    each = [f"{length}({n}::{text}), ':', {n}::{text}" for n in named]
    # Postgres's concat takes 100 values at most.
    some = [f"concat({', '.join(each[i : i + 30])})" for i in range(0, len(each), 30)]
    digits = f"left(md5({' || '.join(some)}), 15)"
    if text == "text":
        return f"('x' || {digits})::bit(60)::bigint"
    return f"('0x' || {digits})::BIGINT"


def _carried(column: ColumnFacts) -> str:
    name = quoted(column.name)
    return name if AS_THEY_ARE.fullmatch(column.type) else f"{name}::text AS {name}"


def _columns(connection: Connection, oid: int) -> list[ColumnFacts]:
    return [
        ColumnFacts(name=name, type=type_, is_generated=generated)
        for name, type_, generated in connection.execute(COLUMNS, (oid,)).fetchall()
    ]


def _hold_to_masters(tables: Iterable[FoundTable], left_out: Iterable[LeftOut]) -> None:
    found = {table.name for table in tables}
    for table in TABLES:
        if table.source not in found:
            why = {one.name: one.why for one in left_out}.get(table.source, "it is not there")
            raise MasterHiddenError(f"{table.source} cannot be backed up: {why}")
