"""Every file that is no table is refused with a code and a sentence that names what to mend."""

import gzip
import io
import json
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import TOOLS, tool_by_id
from outreach_assets.tools.reading.read_table import read_table
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.run_tool import ToolRun, run_tool
from outreach_assets.tools.tool import Tool
from tests.unit.outreach_assets.tools.handed_in import a_file, a_locked_duck, a_workbook


def a_zip(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def parquet_bytes(sql: str) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        path = folder / "made.parquet"
        duckdb.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        return path.read_bytes()

    return made


def workbook_bytes(sheet_xml: str, **members: str) -> Callable[[Path], bytes]:
    return lambda folder: a_workbook(folder / "made.xlsx", sheet_xml, **members).read_bytes()


def cut(made: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: made(folder)[:-40]


SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BILLION_LAUGHS = (
    f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "ha">{LAUGHS}]>{SHEET}<sheetData><row r="1">'
    '<c r="A1" t="inlineStr"><is><t>&l11;</t></is></c></row></sheetData></worksheet>'
)
CSV_ROWS = b"".join(b"%d,x\n" % n for n in range(3000))
Content = str | bytes | Callable[[Path], bytes]

CASES: dict[str, tuple[Content, ErrorCode, str]] = {
    "0 bytes": (b"", ErrorCode.EMPTY_FILE, "hand in CSV"),
    "only blanks": ("\n \n\t\n", ErrorCode.EMPTY_FILE, "empty"),
    "many blanks": ("\n" * 5000, ErrorCode.EMPTY_FILE, "blanks"),
    "only a mark": (b"\xef\xbb\xbf", ErrorCode.EMPTY_FILE, "empty"),
    "header only": ("a,b\n", ErrorCode.NO_ROWS, "no row"),
    "header without an end": ("a,b", ErrorCode.NO_ROWS, "no row"),
    "empty first line": ("\na,b\n1,2\n", ErrorCode.EMPTY_COLUMN_NAMES, "first line"),
    "gzip": (gzip.compress(b"a,b\n1,2\n"), ErrorCode.UNSUPPORTED_TYPE, "unpack"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, ErrorCode.UNSUPPORTED_TYPE, "picture"),
    "a pdf": (b"%PDF-1.7 x", ErrorCode.UNSUPPORTED_TYPE, "PDF"),
    "old excel": (b"\xd0\xcf\x11\xe0" + b"\0" * 99, ErrorCode.UNSUPPORTED_TYPE, "password"),
    "a zip": (a_zip("leads.csv", b"a,b\n1,2\n"), ErrorCode.UNSUPPORTED_TYPE, "unpack"),
    "noise": (bytes(range(256)) * 40, ErrorCode.UNSUPPORTED_TYPE, "no text"),
    "ragged": ("a,b\n1\n1,2,3\n4,5\n", ErrorCode.RAGGED_ROWS, "row 1 has 1, row 2 has 3 cells"),
    "ragged further on": (
        b"a,b\n" + CSV_ROWS + b"1\n" * 900,
        ErrorCode.RAGGED_ROWS,
        "row 3,001 has 1",
    ),
    "20,000 columns": (
        ",".join(f"c{n}" for n in range(20_000)) + "\n" + ",".join("1" * 20_000) + "\n",
        ErrorCode.TOO_MANY_COLUMNS,
        "20,000 columns: at most 1,000",
    ),
    "a name twice": ("email,x,email\n1,2,3\n", ErrorCode.DUPLICATE_COLUMN_NAMES, "email"),
    "no name": ("a,,c,\n1,2,3,4\n", ErrorCode.EMPTY_COLUMN_NAMES, "column 2, 4"),
    "bad utf-8": (
        "näme,x\nZoë,1\n".encode() + b"Zo\xff,1\n" + "é,2\n".encode() * 9,
        ErrorCode.BAD_ENCODING,
        "line 3",
    ),
    "cut utf-16": ("a,b\n1,2\n".encode("utf-16") + b"\x00", ErrorCode.BAD_ENCODING, "cut off"),
    "a NUL": (b"a,b\n1,2\n3,\x004\n", ErrorCode.NUL_BYTES, "line 3"),
    "a NUL in utf-16": ("a,b\n1,2\n\0,3\n".encode("utf-16"), ErrorCode.NUL_BYTES, "line 3"),
    "an open quote": (b'a,b\n1,2\n3,"4\n' + CSV_ROWS, ErrorCode.QUOTE_NOT_CLOSED, "line 3"),
    "an open quote in a large file": (
        b'a,b\n1,2\n3,"4\n' + CSV_ROWS * 300,
        ErrorCode.QUOTE_NOT_CLOSED,
        "line 3",
    ),
    "an open quote before millions of lines": (
        b'a,b\n1,2\n3,"4\n' + b"y\n" * 3_000_000,
        ErrorCode.QUOTE_NOT_CLOSED,
        "line 3",
    ),
    "a parquet bomb of long cells": (
        parquet_bytes("SELECT repeat('x', 3000000) || (range % 9) AS a FROM range(60)"),
        ErrorCode.UNPACKS_TOO_LARGE,
        "cells of up to 3,000,001 bytes",
    ),
    "an xlsx wider than its header": (
        workbook_bytes(
            SHEET
            + '<sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
            + "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(2, 3000))
            + "</sheetData></worksheet>"
        ),
        ErrorCode.RAGGED_ROWS,
        "16384",
    ),
    "text behind a quote": ('a,b\n1,"2"x\n3,4\n', ErrorCode.QUOTE_NOT_CLOSED, "line 2"),
    "a long line": (b"a,b\n1," + b"x" * 3_000_000 + b"\n", ErrorCode.LINE_TOO_LONG, "line 2"),
    "a very long line": (b"a,b\n1," + b"x" * 9_000_000, ErrorCode.LINE_TOO_LONG, "line 2"),
    "a very long first line": (b"x" * 9_000_000, ErrorCode.LINE_TOO_LONG, "line 1"),
    "a JSON array": ('[{"a": 1}]', ErrorCode.BAD_JSON, "one line each"),
    "malformed JSON": ('{"a": 1}\n{"a": oops}\n{"a": 2}\n', ErrorCode.BAD_JSON, "line 2"),
    "broken JSON": ('{"a": 1}\n{"a": \n', ErrorCode.BAD_JSON, "line 2"),
    "JSON of no objects": ('{"a": 1}\n5\n', ErrorCode.BAD_JSON, "one object per line"),
    "a JSON key twice": ('{"a": 1}\n{"a": 1, "a": 2}\n', ErrorCode.BAD_JSON, "line 2"),
    "JSON keys that differ in case": (
        '{"a": 1, "A": 2}\n',
        ErrorCode.DUPLICATE_COLUMN_NAMES,
        "upper and lower",
    ),
    "JSON of nothing": ("{}\n{}\n", ErrorCode.NO_ROWS, "no keys"),
    "20,000 JSON keys": (
        json.dumps({f"k{n}": 1 for n in range(20_000)}),
        ErrorCode.TOO_MANY_COLUMNS,
        "20,000",
    ),
    "cut parquet": (cut(parquet_bytes("SELECT 1 AS a")), ErrorCode.BAD_PARQUET, "damaged"),
    "parquet in name only": (b"PAR1" + b"x" * 500 + b"PAR1", ErrorCode.BAD_PARQUET, "damaged"),
    "parquet without rows": (
        parquet_bytes("SELECT 1 AS a WHERE false"),
        ErrorCode.NO_ROWS,
        "no row",
    ),
    "a parquet bomb": (
        parquet_bytes("SELECT 'x' AS a FROM range(20000000)"),
        ErrorCode.UNPACKS_TOO_LARGE,
        "20,000,000 cells",
    ),
    "cut xlsx": (cut(workbook_bytes(SHEET + "</worksheet>")), ErrorCode.BAD_XLSX, "cut off"),
    "xlsx of nonsense": (workbook_bytes("<not closed"), ErrorCode.BAD_XLSX, "save it anew"),
    "empty xlsx": (
        workbook_bytes(SHEET + "<sheetData/></worksheet>"),
        ErrorCode.EMPTY_FILE,
        "first sheet",
    ),
    "a billion laughs": (workbook_bytes(BILLION_LAUGHS), ErrorCode.BAD_XLSX, "save it anew"),
    "an xlsx bomb": (
        workbook_bytes(SHEET + " " * 80_000_000 + "</worksheet>"),
        ErrorCode.UNPACKS_TOO_LARGE,
        "hand in CSV",
    ),
}


HUGE: dict[str, tuple[Content, ErrorCode, str]] = {
    "one line of 100 MB": (
        lambda _: b"a,b\n1," + b"x" * 100_000_000,
        ErrorCode.LINE_TOO_LONG,
        "line 2",
    ),
    "one line of 100 MB and no header": (
        lambda _: b"x" * 100_000_000,
        ErrorCode.LINE_TOO_LONG,
        "line 1",
    ),
    "a zip bomb": (
        lambda _: a_zip("leads.csv", bytes(300_000_000)),
        ErrorCode.UNSUPPORTED_TYPE,
        "unpack",
    ),
    "an xlsx bomb of strings": (
        workbook_bytes(
            f"{SHEET}</worksheet>", **{"xl/sharedStrings.xml": "<si><t>x</t></si>" * 9_000_000}
        ),
        ErrorCode.UNPACKS_TOO_LARGE,
        "hand in CSV",
    ),
}
LIMITS = ToolLimits(memory_mb=512, seconds=120, disk_mb=500)
MOST_CPU_SECONDS = 10
"""What the file costs; how long that takes, on a machine that others use too, says nothing."""


def children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.parametrize("tool", [tool.id for tool in TOOLS])
@pytest.mark.parametrize("case", [*CASES, *HUGE])
def test_each_tool_refuses_it_soon_and_in_little_memory(
    tmp_path: Path, case: str, tool: str
) -> None:
    content, code, names = (CASES | HUGE)[case]
    path = a_file(tmp_path, content(tmp_path) if callable(content) else content)
    asked = ToolRun(tool=tool_by_id(tool), inputs={"primary": path})
    (tmp_path / "run").mkdir()
    before = children_cpu_seconds()
    with pytest.raises(ToolRefusedError) as refused:
        run_tool(asked, tmp_path / "run", limits=LIMITS)
    assert children_cpu_seconds() - before < MOST_CPU_SECONDS
    assert (refused.value.code, names in str(refused.value)) == (code, True), str(refused.value)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.id)
def test_a_parameter_that_a_tool_does_not_know_is_refused(tool: Tool) -> None:
    with pytest.raises(ToolRefusedError) as refused:
        tool.checked_parameters({"colour": "red"})
    assert (refused.value.code, "colour" in str(refused.value)) == (
        ErrorCode.INVALID_PARAMETERS,
        True,
    )


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_its_code_and_where_to_look(tmp_path: Path, case: str) -> None:
    content, code, names = CASES[case]
    path = a_file(tmp_path, content(tmp_path) if callable(content) else content)
    with a_locked_duck(tmp_path, path) as duck, pytest.raises(ToolRefusedError) as refused:
        read_table(duck, path, tmp_path / "scratch", "primary")
    assert (refused.value.code, names in str(refused.value)) == (code, True), str(refused.value)


def test_a_refusal_does_not_repeat_what_the_file_holds(tmp_path: Path) -> None:
    path = a_file(tmp_path, 'email\n"ann@secret.example"x\n')
    with a_locked_duck(tmp_path, path) as duck, pytest.raises(ToolRefusedError) as refused:
        read_table(duck, path, tmp_path / "scratch", "primary")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('{folder}/../other.csv')",
        "FROM read_csv('{folder}/link.csv')",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "COPY (SELECT 1) TO '/tmp/outreach-escaped.csv'",
    ],
)
def test_the_duckdb_of_a_tool_reaches_nothing_else(tmp_path: Path, statement: str) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link.csv").symlink_to("/etc/passwd")
    with a_locked_duck(folder) as duck, pytest.raises(duckdb.Error):
        duck.execute(statement.format(folder=folder)).fetchall()
