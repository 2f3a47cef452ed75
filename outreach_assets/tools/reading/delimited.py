"""CSV and its cousins: which delimiter, which columns, and what DuckDB could not read."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.reading.columns import checked_names, inner_name, literal
from outreach_assets.tools.reading.text import line_too_long
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

HEAD_CHARACTERS = 1024 * 1024
LOOKED_AT = 200
LONGEST_CELL = 256 * 1024
"""Of several lines, in the head: behind a quote that is never closed, the file is one cell."""

DELIMITERS = (",", ";", "\t", "|")
RAGGED_SHARE = 0.1
"""With more than this, the file is not the table it seems to be."""

MOST_RAGGED = 100_000
"""More are not kept: behind a quote that is never closed, every line of a file can be one."""

SHOWN_ROWS = 5
CALLED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """Rows left out because they have more or fewer cells than there are columns."""

    rows: int = 0
    first: Sequence[str] = ()
    """`row 3 has 1 cell`, for the first few."""


NONE_RAGGED = Ragged()


@dataclass(frozen=True, kw_only=True)
class Delimited:
    """A file's dialect and columns."""

    path: Path
    delimiter: str
    names: Sequence[str]

    @property
    def sql(self) -> str:
        """Every row as text; an empty cell is NULL. What cannot be read goes to reject_errors."""
        columns = ", ".join(f"{inner_name(n)}: 'VARCHAR'" for n in range(len(self.names)))
        return f"""
            SELECT * FROM read_csv({literal(str(self.path))}, columns = {{{columns}}},
                auto_detect = false, header = true, delim = {literal(self.delimiter)},
                quote = '"', escape = '"', nullstr = '', strict_mode = true,
                max_line_size = 2097152, buffer_size = 8388608,
                store_rejects = true, rejects_limit = {MOST_RAGGED})"""


def delimited(path: Path, delimiters: Sequence[str] = DELIMITERS) -> Delimited:
    """What kind of CSV the file is. Raises ToolRefusedError when its first rows are no table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(HEAD_CHARACTERS)
    is_whole = len(head) < HEAD_CHARACTERS
    if head[:1] in ("\n", "\r"):
        raise ToolRefusedError(
            ErrorCode.EMPTY_COLUMN_NAMES, "the first line is empty: it must name the columns"
        )
    delimiter = max(delimiters, key=lambda one: _table_likeness(_records(head, one, is_whole)))
    records = _records(head, delimiter, is_whole)
    if not records:
        raise line_too_long(1)
    names = checked_names(records[0])
    _refuse_ragged_head(records, len(names))
    return Delimited(path=path, delimiter=delimiter, names=names)


def _records(head: str, delimiter: str, is_whole: bool) -> list[list[str]]:  # noqa: FBT001 (a fact about the head)
    """The first records; not the last one where the head may have cut it."""
    found: list[list[str]] = []
    csv.field_size_limit(2 * HEAD_CHARACTERS)
    reader, line = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), 1
    for record in reader:
        if max(map(len, record), default=0) > LONGEST_CELL and "\n" in max(record, key=len):
            raise _open_quote(line)
        line = reader.line_num + 1
        found.append(record)
        if len(found) > LOOKED_AT:
            break
    else:
        found = found if is_whole else found[:-1]
    return found


def _table_likeness(records: Sequence[Sequence[str]]) -> tuple[float, int]:
    """The share of records as wide as the first one, then that width; one column is no evidence."""
    width = len(records[0]) if records else 0
    if width < 2:
        return (0.0, 0)
    filled = [record for record in records if record]
    return (sum(len(record) == width for record in filled) / len(filled), width)


def _refuse_ragged_head(records: Sequence[Sequence[str]], width: int) -> None:
    rows = [(n, len(r)) for n, r in enumerate(records[1:], start=1) if r or width == 1]
    wrong = [f"row {n} has {count}" for n, count in rows if count != width and count]
    if wrong and len(wrong) > RAGGED_SHARE * len(rows):
        raise ragged(width, wrong[:SHOWN_ROWS])


def ragged(width: int, named: Sequence[str]) -> ToolRefusedError:
    """The refusal of rows that are too short or too long for the header."""
    return ToolRefusedError(
        ErrorCode.RAGGED_ROWS,
        f"there are {width} columns, but {', '.join(named)} cells (rows are counted without the "
        "first line). Is a delimiter inside a cell that has no quotes around it?",
    )


def ragged_rows(duck: Duck, found: Delimited, rows_read: int) -> Ragged:
    """The rows DuckDB left out, when they are few and only too short or too long.

    Raises ToolRefusedError for everything else it could not read.
    """
    kinds = dict(
        duck.execute(
            "SELECT error_type::VARCHAR, min(line) FROM reject_errors GROUP BY 1"
        ).fetchall()
    )
    if "LINE SIZE OVER MAXIMUM" in kinds:
        raise line_too_long(kinds["LINE SIZE OVER MAXIMUM"])
    if "UNQUOTED VALUE" in kinds:
        raise _open_quote(kinds["UNQUOTED VALUE"])
    unknown = set(kinds) - {"MISSING COLUMNS", "TOO MANY COLUMNS"}
    if unknown:
        raise ToolRefusedError(
            ErrorCode.BAD_CSV,
            f"line {min(kinds[kind] for kind in unknown):,} cannot be read as CSV "
            f"({', '.join(sorted(unknown)).lower()})",
        )
    return _few_ragged(duck, found, rows_read) if kinds else NONE_RAGGED


def _open_quote(line: int) -> ToolRefusedError:
    return ToolRefusedError(
        ErrorCode.QUOTE_NOT_CLOSED,
        f'line {line:,}: a cell begins with a quote (") that is never closed, or goes on behind '
        'it. Close it, and write a quote inside a cell as ""',
    )


def _few_ragged(duck: Duck, found: Delimited, rows_read: int) -> Ragged:
    # A row is listed once for every cell it lacks or has too many (seen, 1.5.5).
    width = len(found.names)
    wrong: dict[int, int] = dict(
        duck.execute(f"""
            SELECT line, CASE WHEN min(cells) < {width} THEN min(cells) ELSE max(cells) END
            FROM (SELECT line, regexp_extract(error_message, 'Found: (\\d+)', 1)::INT AS cells
                FROM reject_errors)
            GROUP BY line ORDER BY line""").fetchall()
    )
    first = [f"row {line - 1:,} has {cells}" for line, cells in list(wrong.items())[:SHOWN_ROWS]]
    if len(wrong) > RAGGED_SHARE * (rows_read + len(wrong)) or len(wrong) >= MOST_RAGGED:
        raise ragged(width, first)
    return Ragged(rows=len(wrong), first=[f"{one} cells" for one in first])
