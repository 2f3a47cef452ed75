"""The rows as files: CSV always, and in the kind of file they came in.

Every cell has been made harmless before, unless that was not wanted; names are made so here.
"""

import csv
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import xlsxwriter

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import quoted
from outreach_assets.tools.reading.columns import inner_name, literal

SNIFFED = re.compile(r"[;|\t{\[]")
"""A name with one of these could be taken for another delimiter, or the file for JSON."""

BATCH = 5_000
SAME_BYTES = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
LONGEST_CELL = 32_767
"""Of a workbook; a mark or a composed letter can make a cell longer than it came."""

NUMBER = "-?(?:0|[1-9][0-9]{0,14})(?:\\.[0-9]{1,9})?"
"""What a workbook's number holds without loss: fifteen digits and no leading zero."""

RESTORED = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*|BOOLEAN|DATE")
"""Parquet's types that a column gets back when all its cleaned cells are such."""


@dataclass(frozen=True, kw_only=True)
class Rowset:
    """Rows as SQL, their columns called c0, c1, …, and what these are called outside."""

    duck: Duck
    sql: str
    names: Sequence[str]

    @property
    def _columns(self) -> str:
        return ", ".join(inner_name(place) for place in range(len(self.names)))

    def write_delimited(self, target: Path, delimiter: str) -> None:
        """Write CSV or TSV."""
        body = target.with_suffix(".part")
        self.duck.execute(
            f"COPY ({self.sql}) TO {literal(str(body))} "
            f"(FORMAT csv, HEADER false, DELIMITER {literal(delimiter)})"
        )
        with target.open("w", encoding="utf-8", newline="") as file:
            # Quoted throughout where they are: no reader then takes them for it.
            is_sniffed = any(SNIFFED.search(name) for name in self.names)
            writer = csv.writer(
                file,
                delimiter=delimiter,
                quoting=csv.QUOTE_ALL if is_sniffed else csv.QUOTE_MINIMAL,
                lineterminator="\n",
            )
            writer.writerow(self.names)
        with target.open("ab") as file, body.open("rb") as rows:
            shutil.copyfileobj(rows, file)
        body.unlink()

    def write_json_lines(self, target: Path, typed: set[int]) -> None:
        """Write JSON Lines; what is still JSON in the columns at these places is no string."""
        counts = ", ".join(
            f"count(*) FILTER (NOT json_valid({inner_name(place)})) = 0"
            for place in range(len(self.names))
        )
        found = self.duck.execute(f"SELECT {counts} FROM ({self.sql})").fetchone() or ()
        raw = {place for place, is_json in enumerate(found) if is_json and place in typed}
        cells = ", ".join(
            f"{inner_name(place)}{'::JSON' if place in raw else ''} AS {quoted(name)}"
            for place, name in enumerate(self.names)
        )
        self.duck.execute(
            f"COPY (SELECT {cells} FROM ({self.sql})) TO {literal(str(target))} (FORMAT json)"
        )

    def write_parquet(self, target: Path, types: Sequence[str]) -> None:
        """Write Parquet; a column has its type of these again when every cell is such."""
        cells = ", ".join(
            f"{inner_name(place)}::{kind} AS {quoted(name)}"
            for place, (name, kind) in enumerate(zip(self.names, self._held(types), strict=True))
        )
        self.duck.execute(
            f"COPY (SELECT {cells} FROM ({self.sql})) TO {literal(str(target))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )

    def _held(self, types: Sequence[str]) -> list[str]:
        wanted = [kind if RESTORED.fullmatch(kind) else "VARCHAR" for kind in types]
        fits = ", ".join(
            f"count(*) FILTER ({inner_name(place)} IS NOT NULL AND "
            f"TRY_CAST({inner_name(place)} AS {kind})::VARCHAR IS DISTINCT FROM "
            f"{inner_name(place)}) = 0"
            for place, kind in enumerate(wanted)
        )
        found = self.duck.execute(f"SELECT {fits} FROM ({self.sql})").fetchone() or ()
        return [kind if fit else "VARCHAR" for kind, fit in zip(wanted, found, strict=True)]

    def write_workbook(self, target: Path, scratch: Path, title: str) -> None:
        """Write XLSX; columns of nothing but plain numbers are numbers."""
        fits = ", ".join(
            f"count(*) FILTER (NOT regexp_full_match({column}, {literal(NUMBER)})) = 0"
            for column in self._columns.split(", ")
        )
        are_numbers = self.duck.execute(f"SELECT {fits} FROM ({self.sql})").fetchone() or ()
        book = xlsxwriter.Workbook(str(target), OPTIONS | {"tmpdir": str(scratch)})
        book.set_properties({"created": SAME_BYTES})
        sheet = book.add_worksheet(_sheet_title(title))
        for place, name in enumerate(self.names):
            sheet.write_string(0, place, name)
        for line, row in enumerate(self._rows(), start=1):
            for place, cell in enumerate(row):
                if cell is None:
                    continue
                if are_numbers[place]:
                    sheet.write_number(line, place, float(cell))
                else:
                    sheet.write_string(line, place, cell[:LONGEST_CELL])
        book.close()

    def _rows(self) -> Iterator[tuple[str | None, ...]]:
        reader = self.duck.execute(self.sql)
        while batch := reader.fetchmany(BATCH):
            yield from batch


def _sheet_title(title: str) -> str:
    """A title that a workbook may have, whatever the one handed in had."""
    legal = re.sub(r"[\[\]:*?/\\]", "_", title).strip("'")[:30]
    return f"{legal}_" if legal.lower() in ("", "history") else legal


def parquet_types(duck: Duck, source: Path) -> list[str]:
    """The types of a Parquet file's columns."""
    file = literal(str(source))
    return [row[1] for row in duck.execute(f"DESCRIBE FROM read_parquet({file})").fetchall()]


def json_columns(duck: Duck, source: Path, names: Sequence[str]) -> set[int]:
    """The places of columns that never held a string in the JSON Lines."""
    found = duck.execute(f"""
        SELECT entry.key, bool_or(json_type(entry.value) = 'VARCHAR')
        FROM (SELECT unnest(map_entries(json::MAP(VARCHAR, JSON))) AS entry
            FROM read_json_objects({literal(str(source))}, format = 'newline_delimited',
                maximum_object_size = 2097152))
        GROUP BY 1""").fetchall()
    never = {key.strip() for key, holds_text in found if not holds_text}
    return {place for place, name in enumerate(names) if name in never}
