"""A CSV of corrected rows, as people send it back: read whole, told apart, nothing judged.

It was made from an exported file of failures or from a file of bad rows, by hand or in a
spreadsheet. What its cells do to the masters is in repair.py.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.failures.formats import FORMULA
from outreach_assets.steps.validate import REASONS
from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Table
from outreach_core.errors import PermanentError

KEYS = {
    "person_id": PEOPLE,
    PEOPLE.key: PEOPLE,
    "company_id": COMPANIES,
    COMPANIES.key: COMPANIES,
}
"""What a key column may be called. People first: a person's row names its company too."""

DELIMITERS = ",;\t"
"""Excel writes semicolons where the comma is the decimal point, and tabs as `Unicode text`."""

LONGEST_CELL = 64 * 1024 * 1024
NOT_CORRECTIONS = {
    *("fail_reason", "state", "validation_timestamp", "pipeline_id", "failure_type"),
    *("company_id", "company_name", "person_id", "person_name", REASONS),
}
"""Columns of the exported files: left aside unless the table has one of that name."""


class CorrectionsFileError(PermanentError):
    """The file as a whole cannot be taken for corrections."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A row of the file that nothing is done with, and why."""

    line: int
    key: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One row of the file."""

    line: int
    """Of the file, where the row ends; the header's is 1."""

    key: str
    cells: Mapping[str, str]
    """By column; those left empty are not in it."""


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What a file asks for."""

    table: Table
    columns: Sequence[str]
    """All columns of the file but the key, in its order."""

    rows: Sequence[Correction]
    """Every key once."""

    refused: Sequence[Refusal]


def read_corrections(path: Path) -> Corrections:
    """The corrections in a CSV file. Raises CorrectionsFileError when it is none.

    UTF-8 with or without a byte order mark; commas, semicolons or tabs; any line ends. A cell that
    holds nothing but spaces counts as empty.
    """
    text = _text_of(path)
    with _long_cells():
        delimiter, header = _header(path, text)
        records = list(_rows(path, text, delimiter))
    table, key = _key_column(path, header)
    read = [_read_row(line, cells, header, key) for line, cells in records]
    corrections = [row for row in read if isinstance(row, Correction)]
    refused = [row for row in read if isinstance(row, Refusal)]
    if not corrections and not refused:
        raise CorrectionsFileError(f"{path.name} has a header and no rows: add the corrected ones")
    times = Counter(row.key for row in corrections)
    refused += [_twice(row, times) for row in corrections if times[row.key] > 1]
    return Corrections(
        table=table,
        columns=[name for name in header if name != key],
        rows=[row for row in corrections if times[row.key] == 1],
        refused=sorted(refused, key=lambda one: one.line),
    )


def _text_of(path: Path) -> str:
    """The file as text. Its bytes are decoded here, so that the error can name the line."""
    try:
        written = path.read_bytes()
    except OSError as error:
        raise CorrectionsFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = written.count(b"\n", 0, error.start) + 1
        raise CorrectionsFileError(
            f"{path.name} is not UTF-8 (line {line}): save it as `CSV UTF-8`"
        ) from None
    if not text.strip():
        raise CorrectionsFileError(f"{path.name} is empty: it needs a header and corrected rows")
    return text


@contextmanager
def _long_cells() -> Iterator[None]:
    """Room for the cells that the exported files may have; the csv module stops at 128 kB."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _header(path: Path, text: str) -> tuple[str, list[str]]:
    """The delimiter and the column names: the delimiter that makes a key column appear."""
    for delimiter in DELIMITERS:
        # Not strict: under a delimiter that is not the file's, its quotes make no sense.
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = [name.strip() for name in next(filter(None, lines), [])]
        if KEYS.keys() & set(names):
            return delimiter, _checked_header(path, names)
    raise CorrectionsFileError(
        f"{path.name} has no key column: its first line needs one of {', '.join(KEYS)}"
    )


def _checked_header(path: Path, names: list[str]) -> list[str]:
    """The header without the empty cells that spreadsheets leave behind the last column."""
    while not names[-1]:
        names.pop()
    wrong = [
        name or "one without a name" for name, n in Counter(names).items() if n > 1 or not name
    ]
    if wrong:
        raise CorrectionsFileError(
            f"{path.name} has columns twice or without a name ({', '.join(wrong)}): name each once"
        )
    return names


def _key_column(path: Path, header: Sequence[str]) -> tuple[Table, str]:
    """The table that the file corrects, and the column of its keys."""
    found = [name for name in KEYS if name in header]
    table = KEYS[found[0]]
    same = [name for name in found if KEYS[name] is table]
    if len(same) > 1:
        raise CorrectionsFileError(f"{path.name} has both {' and '.join(same)}: keep one as key")
    return table, same[0]


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, with the lines they end on; not those that hold nothing."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        next(filter(None, reader))
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise CorrectionsFileError(
            f"{path.name} is no CSV at line {reader.line_num}: {error}"
        ) from None


def _read_row(
    line: int, cells: Sequence[str], header: Sequence[str], key: str
) -> Correction | Refusal:
    beyond = any(cell.strip() for cell in cells[len(header) :])
    given = {
        name: cell[1:] if cell.startswith("'") and FORMULA.match(cell, 1) else cell
        for name, cell in zip(header, cells, strict=False)
        if cell.strip()
    }
    named = given.pop(key, "")
    if len(cells) < len(header) or beyond:
        why = f"it has {len(cells)} cells and the header {len(header)}: check its commas and quotes"
    elif not named:
        why = f"its {key} is empty"
    elif any("\0" in cell for cell in (named, *given.values())):
        why = "it holds a NUL character, which Postgres does not take"
    else:
        return Correction(line=line, key=named, cells=given)
    return Refusal(line=line, key=named.replace("\0", ""), why=why)


def _twice(row: Correction, times: Mapping[str, int]) -> Refusal:
    why = f"its key is in {times[row.key]} rows of the file: keep one"
    return Refusal(line=row.line, key=row.key, why=why)
