"""The cells of a CSV as values of the source's types, as Postgres itself reads and writes them.

Which rows they belong to, and what the rows are worth with them, is in repair.py.
"""

import json
import re
from collections.abc import Mapping, Sequence

from outreach_assets.steps.failures.corrections import Correction, Refusal
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import quoted
from outreach_core.postgres import Connection, DataError, IntegrityError

# A date without a zone is UTC; one whose day and month could be each other's is refused.
TYPED_AS_TEXT = """
    SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
        set_config('extra_float_digits', '1', true)"""

COLUMN_TYPES = """
    SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""

NO_NUMBERS = {"NaN", "Infinity", "-Infinity"}
"""Postgres has numerics of these values, and no run could pass them on (FACTS on the scanner)."""


def say_types_as_text(connection: Connection) -> None:
    """Make this transaction write and read values as text in the one way that all of ours do."""
    connection.execute(TYPED_AS_TEXT)


def column_types(connection: Connection, source: str) -> dict[str, str]:
    """What a cast to each column's own type is called."""
    return dict(connection.execute(COLUMN_TYPES, (source,)).fetchall())


def cells_sql(alias: str, given: str, columns: Sequence[str]) -> str:
    """A JSON list of objects as a table of texts, NULL where an object has no such name."""
    listed = ", ".join(f"{quoted(name)} text" for name in columns)
    return f"jsonb_to_recordset({given}::jsonb) AS {alias}({listed})"


def fit_cells(
    connection: Connection, duck: Duck, rows: Sequence[Correction], types: Mapping[str, str]
) -> tuple[list[Correction], list[Refusal]]:
    """The rows with every cell as Postgres writes it, and those with a cell that does not fit.

    Only the columns that `types` names are looked at; others are left out. Must be called after
    `say_types_as_text`.
    """
    fitted = {
        name: _as_written(connection, duck, type_, {r.cells[name] for r in rows if name in r.cells})
        for name, type_ in types.items()
    }
    good, refused = [], []
    for row in rows:
        cells = {name: cell for name, cell in row.cells.items() if name in types}
        wrong = [name for name, cell in cells.items() if cell not in fitted[name]]
        if wrong:
            why = "; ".join(_does_not_fit(name, types[name]) for name in wrong)
            refused.append(Refusal(line=row.line, key=row.key, why=why))
        else:
            written = {name: fitted[name][cell] for name, cell in cells.items()}
            good.append(Correction(line=row.line, key=row.key, cells=written))
    return good, refused


def _does_not_fit(name: str, type_: str) -> str:
    how = ', written as {red,"white wine"} or ["red", "white wine"]' if type_.endswith("]") else ""
    return f"{name}: the cell is no {type_}{how}"


def _as_written(connection: Connection, duck: Duck, type_: str, cells: set[str]) -> dict[str, str]:
    """Each cell as Postgres writes its value; those that are no value of the type are left out."""
    meant = {cell: cell for cell in cells}
    if type_.endswith("[]"):
        found = {cell: _array(duck, cell) for cell in cells}
        meant = {cell: literal for cell, literal in found.items() if literal is not None}
    written = _cast(connection, type_, sorted(set(meant.values())))
    if not type_.startswith(("text", "char")):
        written = {cell: value for cell, value in written.items() if value not in NO_NUMBERS}
    return {cell: written[literal] for cell, literal in meant.items() if literal in written}


def _cast(connection: Connection, type_: str, cells: Sequence[str]) -> dict[str, str]:
    """The cells that Postgres can cast, and that the type's length or scale takes whole."""
    unbounded = re.sub(r"\(.*?\)", "", type_)
    statement = f"""
        SELECT cell, cell::{type_}::text FROM unnest(%s::text[]) AS cell
        WHERE cell::{type_}::{unbounded} IS NOT DISTINCT FROM cell::{unbounded}"""
    if unbounded == type_:
        statement = f"SELECT cell, cell::{type_}::text FROM unnest(%s::text[]) AS cell"
    try:
        with connection.transaction():  # a savepoint: what is refused must not end everything
            return dict(connection.execute(statement.encode(), (list(cells),)).fetchall())
    except (DataError, IntegrityError):
        if len(cells) == 1:
            return {}
        middle = len(cells) // 2
        return _cast(connection, type_, cells[:middle]) | _cast(connection, type_, cells[middle:])


def _array(duck: Duck, cell: str) -> str | None:
    """An array as Postgres takes it, from its own form, from JSON, or as DuckDB writes lists."""
    if not cell.startswith("["):
        return cell
    try:
        parts = json.loads(cell)
    except ValueError:
        text = cell.replace("'", "''")
        # Only what DuckDB would write just so: to others, such as pandas, `[a b]` means two.
        list_ = f"TRY_CAST('{text}' AS VARCHAR[])"
        written, parts = duck.execute(f"SELECT {list_}::VARCHAR, {list_}").fetchall()[0]
        if written != cell:
            return None
    if any(isinstance(part, (list, dict)) for part in parts):
        return None
    return "{" + ",".join(_part(part) for part in parts) + "}"


def _part(part: object) -> str:
    if part is None:
        return "NULL"
    text = part if isinstance(part, str) else json.dumps(part)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
