"""A few rows of an exported file for people to look at, with what is personal masked."""

import re
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import REASONS
from outreach_assets.tables.table import Table, Verdict, quoted

ROWS = 10
COLUMNS = 7
CELL_CHARACTERS = 40

PERSONAL = r"(.).*?(@[^@\s,;]*)?"
"""What is shown of a personal value: its first character, and an email's domain.

From the first character to the last @; a domain only where nothing follows it: a wrong email may
have several, and names between or behind. For DuckDB and for Python.
"""


def preview_rows(duck: Duck, path: Path, table: Table, verdict: Verdict) -> str:
    """The first ten rows as a Markdown table: the key, what the rules ask for, the first columns.

    Emails, phones and names are masked: the first character is left, and an email's domain.
    """
    names = _shown(table, verdict)
    personal = {column.name for column in table.columns if column.is_personal}
    cells = ", ".join(_cell(name, is_personal=name in personal) for name in names)
    target = str(path).replace("'", "''")
    rows = duck.execute(
        f"SELECT {cells} FROM read_parquet('{target}', hive_partitioning = false) LIMIT {ROWS}"
    ).fetchall()
    lines = [names, ["---"] * len(names), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(table: Table, verdict: Verdict) -> list[str]:
    asked = [c.name for c in table.columns if c.name in table.needed_columns]
    others = [c.name for c in table.columns if c.name not in asked]
    names = [table.key, *(n for n in asked if n != table.key), *others][:COLUMNS]
    return names + [REASONS] * (verdict is Verdict.BAD)


def _cell(name: str, *, is_personal: bool) -> str:
    column = quoted(name)
    if not is_personal:
        return f"left({column}::VARCHAR, {CELL_CHARACTERS})"
    masked = rf"regexp_replace({column}::VARCHAR, '^{PERSONAL}$', '\1•••\2', 's')"
    return f"left({masked}, {CELL_CHARACTERS})"


def masked(text: str) -> str:
    """A personal value as previews show it."""
    return re.sub(rf"\A{PERSONAL}\Z", r"\1•••\2", text, flags=re.DOTALL)


def _plain(cell: str | None) -> str:
    """A cell that cannot break out of a Markdown table."""
    if cell is None:
        return "*NULL*"
    return " ".join(cell.replace("|", "\\|").replace("<", "&lt;").replace("`", "'").split())
