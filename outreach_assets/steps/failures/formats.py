"""Failures as a file: JSON, JSON Lines, CSV or Parquet, with the fields that people's readers know.

Written row by row, so that memory does not grow with them; the same rows make the same bytes.
Where rows come from and where the file goes is export.py's and push.py's.
"""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from json.encoder import encode_basestring as _json_text
from pathlib import Path

from b2_resources.object_store import BLOCK_BYTES, encoded_value
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_assets.steps.private_duckdb import Limits, disk_errors, private_duckdb
from outreach_assets.tables.table import literal
from outreach_core.errors import PermanentError

Values = Sequence[str | None]
"""One failure, in the order of its columns; the timestamp as ISO 8601 in UTC."""

# What spreadsheets take for the beginning of a formula, and what they overlook before it. The
# signs' other forms are those that Unicode's compatibility forms (NFKC) turn into them, and the
# minus of mathematics.
OVERLOOKED = r"\s\x00-\x20\x7f-\xa0\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
SIGNS = (
    r"=+\-@"
    "\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
    "\N{FULLWIDTH COMMERCIAL AT}\N{SMALL EQUALS SIGN}\N{SMALL PLUS SIGN}\N{SMALL HYPHEN-MINUS}"
    "\N{SMALL COMMERCIAL AT}\N{MINUS SIGN}\N{SUPERSCRIPT EQUALS SIGN}\N{SUPERSCRIPT PLUS SIGN}"
    "\N{SUPERSCRIPT MINUS}\N{SUBSCRIPT EQUALS SIGN}\N{SUBSCRIPT PLUS SIGN}\N{SUBSCRIPT MINUS}"
    "\N{HEBREW LETTER ALTERNATIVE PLUS SIGN}"
)
FORMULA = re.compile(rf"[\t\r\n]|[{OVERLOOKED}]*[{SIGNS}]")

MAX_NAMED_BYTES = 500  # of a pipeline's id in the metadata, encoded; all of it may take 1,024
PARQUET_MEMORY_MB, PARQUET_TEMP_GB = 128, 50
SMALLEST_LINE_BYTES = 16 * 1024 * 1024  # DuckDB's own default for the longest JSON object


@dataclass(frozen=True, kw_only=True)
class FailureFile:
    """A file that was written."""

    path: Path
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class FileShape:
    """How rows become a file."""

    failure_type: FailureType
    file_format: FailureFormat
    safe_cells: bool = True
    """CSV only: an apostrophe before what a spreadsheet would take for a formula."""


def write_failures(path: Path, rows: Iterable[Values], shape: FileShape) -> FailureFile:
    """Write the rows; the path must lie in a folder of the caller's own.

    Raises DiskFullError, DiskRefusedError, or PermanentError for text that is no valid unicode.
    """
    counted = _Counted(rows)
    columns = shape.failure_type.columns
    with disk_errors(path.parent):
        match shape.file_format:
            case FailureFormat.JSON:
                _write(path, _json_array(_objects(counted, columns)))
            case FailureFormat.JSONL:
                _write(path, (f"{line}\n" for line in _objects(counted, columns)))
            case FailureFormat.CSV:
                _write(path, _csv_lines(counted, columns, safe_cells=shape.safe_cells))
            case FailureFormat.PARQUET:
                _write_parquet(path, counted, columns)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FailureFile(path=path, rows=counted.rows, size_bytes=path.stat().st_size, sha256=sha256)


def object_metadata(
    failure_type: FailureType, pipeline_id: str, state: str, *, rows: int, now: datetime
) -> dict[str, str]:
    """What is kept beside the file in a store, which adds its sha256."""
    # A name no store can keep whole is no reason not to export; the rows have it too.
    named = pipeline_id
    while len(encoded_value(named)) > MAX_NAMED_BYTES:
        named = named[:-1]
    return {
        "pipeline-id": named,
        "failure-type": failure_type,
        "record-count": str(rows),
        "state": state,
        "upload-timestamp": now.astimezone(UTC).isoformat(),
    }


def safe_cell(value: str | None) -> str | None:
    """The value, behind an apostrophe where a spreadsheet would calculate it."""
    return f"'{value}" if value and FORMULA.match(value) else value


class _Counted:
    """Rows on their way through."""

    def __init__(self, rows: Iterable[Values]) -> None:
        self._source = rows
        self.rows = 0

    def __iter__(self) -> Iterator[Values]:
        for row in self._source:
            self.rows += 1
            yield row


class _Echo:
    """What csv.writer writes to, handing each line back."""

    def write(self, line: str) -> str:
        return line


def _objects(rows: Iterable[Values], columns: Sequence[str]) -> Iterator[str]:
    """Each row as a JSON object; encoding dictionaries takes five times as long (measured)."""
    template = "{" + ", ".join(f'"{column}": %s' for column in columns) + "}"
    return (
        template % tuple(["null" if value is None else _json_text(value) for value in row])
        for row in rows
    )


def _json_array(objects: Iterator[str]) -> Iterator[str]:
    before = "[\n"
    for line in objects:
        yield before + line
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _csv_lines(
    rows: Iterable[Values], columns: Sequence[str], *, safe_cells: bool
) -> Iterator[str]:
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    made_safe = ([safe_cell(value) for value in row] for row in rows) if safe_cells else rows
    for row in chain([columns], made_safe):
        # The writer returns what _Echo did; typeshed knows of files only.
        yield str(writer.writerow(row))


def _write(path: Path, lines: Iterable[str]) -> int:
    """The longest line, in characters."""
    longest = 0
    held: list[str] = []
    characters = 0
    try:
        with path.open("wb") as file:
            for line in lines:
                held.append(line)
                characters += len(line)
                longest = max(longest, len(line))
                if characters >= BLOCK_BYTES:
                    file.write("".join(held).encode())
                    held, characters = [], 0
            file.write("".join(held).encode())
    except UnicodeEncodeError:
        raise PermanentError(
            f"{path.name}: a failure holds text that is no valid unicode (half a surrogate pair)"
        ) from None
    return longest


def _write_parquet(path: Path, rows: Iterable[Values], columns: Sequence[str]) -> None:
    """By DuckDB, from the same rows as JSON Lines."""
    lines = path.with_name(f"{path.name}.jsonl")
    try:
        longest = 4 * _write(lines, (f"{line}\n" for line in _objects(rows, columns)))
        limits = Limits(
            memory_mb=PARQUET_MEMORY_MB + 4 * longest // 1_000_000,
            temp_gb=PARQUET_TEMP_GB,
            folder=path.parent / "spill",
            threads=1,  # so that rows keep their order, and their row groups
        )
        types = dict.fromkeys(columns, "VARCHAR")
        with private_duckdb(limits) as duck:
            duck.execute("SET preserve_insertion_order = true")
            # A time before the year 1, or whatever a script calls one, is none in Parquet.
            duck.execute(
                "COPY (SELECT * REPLACE (try_cast(validation_timestamp AS TIMESTAMPTZ) "
                f"AS validation_timestamp) FROM read_json({literal(str(lines))}, "
                f"format = 'newline_delimited', columns = {types}, "
                f"maximum_object_size = {max(longest, SMALLEST_LINE_BYTES)})) "
                f"TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
            )
    finally:
        lines.unlink(missing_ok=True)
