"""JSON Lines: one object per line; what is nested stays JSON, as text."""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import quoted
from outreach_assets.tools.reading.columns import checked_names, inner_name, literal
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

OPTIONS = "format = 'newline_delimited', maximum_object_size = 2097152"
LINE = re.compile(r"in line (\d+)")


def json_lines(duck: Duck, path: Path) -> tuple[Sequence[str], str]:
    """The columns in the order in which they are first met, and SQL for every row as text."""
    try:
        keys = duck.execute(f"""
            WITH lines AS (SELECT json FROM read_json_objects({literal(str(path))}, {OPTIONS})),
                keys AS (SELECT unnest(json_keys(json)) AS key,
                    generate_subscripts(json_keys(json), 1) AS place FROM lines
                    WHERE json_type(json) = 'OBJECT')
            SELECT key, min(place) FROM keys GROUP BY key ORDER BY 2, 1""").fetchall()
        others = duck.execute(f"""
            SELECT count(*), first(json_type(json))
            FROM read_json_objects({literal(str(path))}, {OPTIONS})
            WHERE json_type(json) <> 'OBJECT'""").fetchone()
    except duckdb.Error as error:
        raise bad_json(error) from error
    if others and others[0]:
        raise ToolRefusedError(
            ErrorCode.BAD_JSON,
            f"{others[0]:,} lines hold {others[1].lower()} and no object: write one object per "
            'line, such as {"email": "a@b.example"}',
        )
    if not keys:
        raise ToolRefusedError(ErrorCode.NO_ROWS, "the objects have no keys: there is no column")
    names = checked_names([key for key, _ in keys])
    folded = {name.lower() for name in names}
    if len(folded) < len(names):
        raise ToolRefusedError(
            ErrorCode.DUPLICATE_COLUMN_NAMES,
            "two keys differ only in upper and lower case: give each a name of its own",
        )
    columns = ", ".join(f"{literal(key)}: 'VARCHAR'" for key, _ in keys)
    renamed = ", ".join(f"{quoted(key)} AS {inner_name(n)}" for n, (key, _) in enumerate(keys))
    return (
        names,
        f"""
        SELECT {renamed}
        FROM read_json({literal(str(path))}, {OPTIONS}, columns = {{{columns}}})""",
    )


def bad_json(error: duckdb.Error) -> ToolRefusedError:
    """DuckDB's complaint as a sentence with its line, without the line's content."""
    found = LINE.search(str(error))
    # DuckDB counts the line it looks at next when one is malformed (seen, 1.5.5).
    ahead = "Malformed JSON" in str(error)
    where = f"line {int(found[1]) - ahead:,}" if found else "a line"
    what = "names a key twice" if "duplicate key" in str(error) else "is no JSON object"
    if "maximum_object_size" in str(error):
        what = "is longer than 2 MB"
    return ToolRefusedError(
        ErrorCode.BAD_JSON, f"{where} {what}: write one whole JSON object per line"
    )
