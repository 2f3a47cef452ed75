"""A published snapshot as tables of a Postgres schema, in one transaction.

Rows go through a CSV file, which Postgres copies: that is safe behind a transaction pooler and
needs no rows in Python. Folders and DuckDB files are restored in restore.py.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from b2_resources.object_store import BLOCK_BYTES, ObjectStore
from outreach_assets.steps.manifest import FileFacts, Manifest
from outreach_assets.steps.private_duckdb import Duck, disk_errors, own_folder
from outreach_assets.steps.snapshots.judge_again import Files, rows_of
from outreach_assets.steps.snapshots.restore import (
    Restored,
    RestoreDiffersError,
    TargetInUseError,
    fetch_objects,
)
from outreach_assets.tables.table import quoted
from outreach_core.audit import SNAPSHOT_RESTORED, command_event, open_log, write_event
from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, Postgres

TAKEN_SCHEMAS = ("marketing", "shq", "information_schema")
MOST_NAME_BYTES = 63

POSTGRES_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "INTERVAL": "interval",
    "UUID": "uuid",
    "BLOB": "bytea",
    "JSON": "json",
}


class SchemaRefusedError(PermanentError):
    """No snapshot is restored into a schema of that name."""


def check_schema(postgres: Postgres, schema: str, manifest: Manifest) -> None:
    """Raises SchemaRefusedError, or TargetInUseError when one of the tables is there."""
    if schema in TAKEN_SCHEMAS or schema.startswith("pg_"):
        raise SchemaRefusedError(f"schema {schema} belongs to others: name a new one")
    if not schema or "\0" in schema or len(schema.encode()) > MOST_NAME_BYTES:
        raise SchemaRefusedError(f"{schema!r} is no name of a schema: 1 to 63 bytes")
    with postgres.connect() as connection:
        _check_free(connection, schema, manifest)


def restore_to_postgres(
    store: ObjectStore,
    manifest: Manifest,
    postgres: Postgres,
    schema: str,
    *,
    folder: Path,
    open_duck: Callable[[], AbstractContextManager[Duck]],
) -> Restored:
    """`companies_good` and the others in a schema that is new or has none of them; or nothing.

    `folder` is for what lies on the disk meanwhile: OUTREACH_HOME/spill.

    Raises SchemaRefusedError, TargetInUseError, RestoreDiffersError, what the store raises and
    what the database refuses.
    """
    check_schema(postgres, schema, manifest)
    with own_folder(folder) as spill, disk_errors(folder):
        files = fetch_objects(store, manifest, spill)
        with open_log(postgres) as connection, open_duck() as duck:
            _check_free(connection, schema, manifest)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}".encode())
            for file in manifest.files:
                _copy_table(connection, duck, schema, file, files)
            details = {
                "state": manifest.state,
                "version": manifest.version,
                "schema": schema,
                "rows": sum(file.rows for file in manifest.files),
            }
            write_event(connection, command_event(SNAPSHOT_RESTORED, details))
    return Restored(
        manifest=manifest,
        target=f"{postgres.name}, schema {schema}",
        size_bytes=sum(stored.size_bytes for stored in manifest.objects),
    )


def postgres_type(duck_type: str) -> str:
    """The type that holds every value of DuckDB's; text for what Postgres has no type for."""
    if duck_type.endswith("[]"):
        inner = duck_type.removesuffix("[]")
        return f"{postgres_type(inner)}[]" if _is_plain(inner) else "text"
    if re.fullmatch(r"DECIMAL\(\d+,\d+\)", duck_type):
        return duck_type.replace("DECIMAL", "numeric")
    return POSTGRES_TYPES.get(duck_type, "text")


def _is_plain(duck_type: str) -> bool:
    return duck_type in POSTGRES_TYPES or duck_type.startswith("DECIMAL(")


def _check_free(connection: Connection, schema: str, manifest: Manifest) -> None:
    names = [f"{file.table}_{file.verdict}" for file in manifest.files]
    found = connection.execute(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relname = ANY(%s) ORDER BY relname",
        (schema, names),
    ).fetchall()
    if found:
        taken = ", ".join(row[0] for row in found)
        raise TargetInUseError(
            f"schema {schema} has {taken} already, and nothing is overwritten: name a new schema"
        )


def _copy_table(
    connection: Connection, duck: Duck, schema: str, file: FileFacts, files: Files
) -> None:
    table = f"{quoted(schema)}.{quoted(f'{file.table}_{file.verdict}')}"
    columns = ", ".join(f"{quoted(name)} {postgres_type(kind)}" for name, kind in file.columns)
    connection.execute(f"CREATE TABLE {table} ({columns})".encode())
    rows = files[file.key]
    csv = rows.with_suffix(".csv")
    _write_csv(duck, file, rows, csv)
    with csv.open("rb") as written, connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)".encode()) as copy:
            while block := written.read(BLOCK_BYTES):
                copy.write(block)
        copied = cursor.rowcount
    csv.unlink()
    if copied != file.rows:
        raise RestoreDiffersError(f"{table} took {copied:,} rows of {file.rows:,}: nothing is kept")


def _write_csv(duck: Duck, file: FileFacts, rows: Path, csv: Path) -> None:
    """Quoted is a value, not quoted is NULL: an empty string stays one."""
    cells = ", ".join(
        f"{_cell(quoted(name), kind)} AS {quoted(name)}" for name, kind in file.columns
    )
    literal = str(csv).replace("'", "''")
    duck.execute(
        f"COPY (SELECT {cells} FROM {rows_of(rows)}) TO '{literal}' "
        "(FORMAT csv, HEADER false, FORCE_QUOTE *, NULLSTR '')"
    )


def _cell(value: str, duck_type: str) -> str:
    """SQL for the value as Postgres reads it, NULL for NULL."""
    if duck_type.endswith("[]") and _is_plain(inner := duck_type.removesuffix("[]")):
        element = f"replace(replace({_cell('element', inner)}, '\\', '\\\\'), '\"', '\\\"')"
        shown = f"CASE WHEN element IS NULL THEN 'NULL' ELSE '\"' || {element} || '\"' END"
        listed = f"array_to_string(list_transform({value}, lambda element: {shown}), ',')"
        return f"CASE WHEN {value} IS NOT NULL THEN '{{' || {listed} || '}}' END"
    if duck_type == "BLOB":
        return f"'\\x' || lower(hex({value}))"
    # DuckDB writes `0044-03-15 (BC) 01:02:03+00`, Postgres reads it without the brackets.
    dated = duck_type.startswith(("TIMESTAMP", "DATE"))
    return f"replace({value}::VARCHAR, '(BC)', 'BC')" if dated else f"{value}::VARCHAR"
