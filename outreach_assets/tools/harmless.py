"""Cells that a spreadsheet would run as formulas, made plain text.

`+13045551234` and `-12.5` stay: signs, digits and what stands between them call nothing.
"""

import re

MARK = "'"
"""What tells a spreadsheet that the cell is text."""

DANGEROUS = r"^\s*[=@]|^[\t\r\n]|^\s*[+-].*[^0-9 ().,/+-]"
"""As DuckDB and Python read it alike."""

_DANGEROUS = re.compile(DANGEROUS, re.DOTALL)


def harmless_sql(column: str) -> str:
    """SQL for the column's text with a mark before what would be a formula."""
    return (
        f"CASE WHEN regexp_matches({column}, '{DANGEROUS}', 's') "
        f"THEN '{MARK}{MARK}' || {column} ELSE {column} END"
    )


def harmless(text: str) -> str:
    """The same for one text, such as a column's name."""
    return MARK + text if _DANGEROUS.search(text) else text
