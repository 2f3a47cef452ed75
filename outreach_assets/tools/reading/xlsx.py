"""XLSX: the first sheet as CSV, row by row, after what it would unpack to was found bearable."""

import csv
import datetime as dt
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from outreach_assets.tools.reading.columns import checked_names
from outreach_assets.tools.reading.delimited import RAGGED_SHARE, ragged
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

MOST_MEMBERS = 10_000
MOST_BYTES = 4 * 1024**3
MOST_SHARED_BYTES = 200 * 1024**2
"""What is held in memory: the shared strings, the styles, the list of sheets."""

BOMB_BYTES = 50 * 1024**2
BOMB_RATIO = 150
"""A real sheet packs to a tenth or a fortieth; a bomb to a thousandth."""

MOST_WIDE_ROWS = 20
"""Looked at as soon as so many are wider than the header: a row may have 16,384 cells."""

BROKEN = (
    *(zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError),
    *(EOFError, OSError, TypeError, AttributeError, IndexError, NotImplementedError),
)
"""What openpyxl lets through when a workbook is not what it should be."""


def xlsx_as_csv(source: Path, target: Path) -> str:
    """Write the first sheet as CSV and give its name. Raises ToolRefusedError for what it cannot.

    Dates come as ISO, formulas as the values Excel last saw.
    """
    _refuse_bomb(source)
    try:
        with source.open("rb") as file:  # by its content: openpyxl would refuse it for its name
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()
            _write(sheet.iter_rows(values_only=True), target)
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ToolRefusedError(
            ErrorCode.BAD_XLSX,
            "the workbook cannot be read: open it, save it anew as XLSX without a password",
        ) from error
    return str(sheet.title)


def _refuse_bomb(source: Path) -> None:
    """By the sizes the archive declares; more than those is never unpacked."""
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
    size = sum(one.file_size for one in members)
    held = sum(one.file_size for one in members if "/worksheets/" not in one.filename)
    packed = max(sum(one.compress_size for one in members), 1)
    if (
        len(members) > MOST_MEMBERS
        or size > MOST_BYTES
        or held > MOST_SHARED_BYTES
        or (size > BOMB_BYTES and size > BOMB_RATIO * packed)
    ):
        raise ToolRefusedError(
            ErrorCode.UNPACKS_TOO_LARGE,
            f"{source.stat().st_size:,} bytes of XLSX would unpack to {size:,}: hand in CSV",
        )


def _write(rows: Iterator[tuple[object, ...]], target: Path) -> None:
    header = next((row for row in rows if any(cell is not None for cell in row)), ())
    width = max((n for n, cell in enumerate(header, start=1) if cell is not None), default=0)
    if not width:
        raise ToolRefusedError(ErrorCode.EMPTY_FILE, "the first sheet is empty")
    names = checked_names(header[:width])
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        wide = 0
        for number, row in enumerate(rows, start=1):
            if any(cell is not None for cell in row):
                writer.writerow(_cells(row, width))
                wide += len(row) > width and any(cell is not None for cell in row[width:])
            if wide > MOST_WIDE_ROWS and wide > RAGGED_SHARE * number:
                raise ragged(width, [f"row {number:,} has {len(row)}"])


def _cells(row: tuple[object, ...], width: int) -> list[str]:
    """As many cells as there are columns, and those beyond them only where one is filled."""
    filled = max((n for n, cell in enumerate(row, start=1) if cell is not None), default=0)
    padded = row[: max(width, filled)] + (None,) * (width - len(row))
    return [_text(cell) for cell in padded]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, dt.datetime):
        midnight = cell.time() == dt.time()
        return cell.date().isoformat() if midnight else cell.isoformat(sep=" ")
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    return str(cell)
