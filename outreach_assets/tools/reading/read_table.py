"""A file that somebody handed in, as a Parquet file of our own whose columns are all text.

Columns are called c0, c1, … there, so that no name from the file is part of a statement; an empty
cell is NULL. The kinds of files are read by the files beside this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.reading.columns import literal
from outreach_assets.tools.reading.delimited import (
    CALLED,
    NONE_RAGGED,
    Delimited,
    Ragged,
    delimited,
    ragged_rows,
)
from outreach_assets.tools.reading.json_lines import bad_json, json_lines
from outreach_assets.tools.reading.kinds import FileKind, file_kind
from outreach_assets.tools.reading.parquet import bad_parquet, parquet
from outreach_assets.tools.reading.text import Text, utf_8_text
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

ROW_GROUP_CELLS, MOST_ROWS_IN_GROUP = 2_500_000, 20_480
"""Each thread holds a group of rows until it is written: small ones stay in the cores' caches."""


@dataclass(frozen=True, kw_only=True)
class ReadTable:
    """What was read, and how the file was."""

    path: Path
    """The Parquet file."""

    names: Sequence[str]
    """As the file calls its columns; column n is c<n> in the Parquet file."""

    rows: int
    kind: FileKind
    size_bytes: int
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    ragged: Ragged = NONE_RAGGED


def read_table(duck: Duck, source: Path, folder: Path, name: str) -> ReadTable:
    """Read the source into `folder/<name>.parquet`.

    Raises ToolRefusedError with a sentence for every file that is no table.
    """
    if not source.is_file():
        raise ToolRefusedError(ErrorCode.FILES_NOT_FOUND, f"there is no file {source.name}")
    kind, target = file_kind(source), folder / f"{name}.parquet"
    match kind:
        case FileKind.PARQUET:
            names, sql = parquet(duck, source)
            rows = _copied(duck, sql, target, kind, len(names))
            read = ReadTable(
                path=target, names=names, rows=rows, kind=kind, size_bytes=source.stat().st_size
            )
        case FileKind.XLSX:
            read = _workbook(duck, source, folder, target)
        case _:
            read = _text(duck, source, folder, target)
    if not read.rows:
        raise ToolRefusedError(
            ErrorCode.NO_ROWS, "the file names its columns but has no row below them"
        )
    return read


def _text(duck: Duck, source: Path, folder: Path, target: Path) -> ReadTable:
    text = utf_8_text(source, folder)
    if not _looks_like_json(text.path):
        return _delimited(duck, text, source, target)
    names, sql = json_lines(duck, text.path)
    return ReadTable(
        path=target,
        names=names,
        rows=_copied(duck, sql, target, FileKind.JSON_LINES, len(names)),
        kind=FileKind.JSON_LINES,
        size_bytes=source.stat().st_size,
        encoding=text.encoding,
    )


def _looks_like_json(path: Path) -> bool:
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(4096).lstrip()
    if not start:
        raise ToolRefusedError(ErrorCode.EMPTY_FILE, "the file holds nothing but blanks")
    if start.startswith(("[{", "[\n", "[ ")):
        raise ToolRefusedError(
            ErrorCode.BAD_JSON, "this is one JSON array: write its objects as one line each"
        )
    return start.startswith("{")


def _delimited(duck: Duck, text: Text, source: Path, target: Path) -> ReadTable:
    found = delimited(text.path)
    rows, ragged = _copied_csv(duck, found, target)
    return ReadTable(
        path=target,
        names=found.names,
        rows=rows,
        kind=FileKind.DELIMITED,
        size_bytes=source.stat().st_size,
        encoding=text.encoding,
        delimiter=CALLED[found.delimiter],
        ragged=ragged,
    )


def _workbook(duck: Duck, source: Path, folder: Path, target: Path) -> ReadTable:
    # openpyxl takes half a second to import, and few files are workbooks.
    from outreach_assets.tools.reading.xlsx import xlsx_as_csv  # noqa: PLC0415

    sheet = folder / f"{target.stem}.sheet.csv"
    title = xlsx_as_csv(source, sheet)
    found = delimited(sheet, delimiters=(",",))
    rows, ragged = _copied_csv(duck, found, target)
    return ReadTable(
        path=target,
        names=found.names,
        rows=rows,
        kind=FileKind.XLSX,
        size_bytes=source.stat().st_size,
        sheet=title,
        ragged=ragged,
    )


def _copied_csv(duck: Duck, found: Delimited, target: Path) -> tuple[int, Ragged]:
    rows = _copied(duck, found.sql, target, FileKind.DELIMITED, len(found.names))
    ragged = ragged_rows(duck, found, rows)
    duck.execute("DROP TABLE reject_errors")
    duck.execute("DROP TABLE reject_scans")
    return rows, ragged


def _copied(duck: Duck, sql: str, target: Path, kind: FileKind, columns: int) -> int:
    """Write the rows and count them.

    DuckDB's own dictionaries take 0.7 MB for every column, and compressing takes longer than it
    saves: the file is read a few times and deleted (2.7 against 3.4 CPU seconds for 186 MB).
    """
    try:
        copied = duck.execute(
            f"COPY ({sql}) TO {literal(str(target))} "
            "(FORMAT parquet, COMPRESSION uncompressed, WRITE_BLOOM_FILTER false, "
            "STRING_DICTIONARY_PAGE_SIZE_LIMIT 16384, "
            f"ROW_GROUP_SIZE {min(ROW_GROUP_CELLS // columns, MOST_ROWS_IN_GROUP)})"
        ).fetchone()
    except (duckdb.OutOfMemoryException, duckdb.FatalException):
        raise
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise
        raise _unreadable(kind, error) from error
    return int(copied[0]) if copied else 0


def _unreadable(kind: FileKind, error: duckdb.Error) -> ToolRefusedError:
    if kind is FileKind.JSON_LINES:
        return bad_json(error)
    if kind is FileKind.PARQUET:
        return bad_parquet()
    return ToolRefusedError(
        ErrorCode.BAD_CSV, "the file cannot be read as CSV: are all its cells quoted the same way?"
    )
