"""Files of every kind we take, read: the same rows whatever they came in."""

import datetime as dt
from pathlib import Path

import duckdb
import openpyxl
import pytest

from tests.unit.outreach_assets.tools.handed_in import a_file, read

TABLE = "name,city\nZoë,Köln\n,Paris\n"
ROWS = [("Zoë", "Köln"), (None, "Paris")]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TABLE.encode(), "UTF-8"),
        (TABLE.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        (TABLE.encode("utf-16"), "UTF-16"),
        (TABLE.encode("utf-16-le"), "UTF-16"),
        (TABLE.encode("utf-16-be"), "UTF-16"),
        (TABLE.encode("cp1252"), "Windows-1252"),
        (TABLE.encode("latin-1") + b"\x81,x\n", "Windows-1252"),
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(
    tmp_path: Path, content: bytes, encoding: str
) -> None:
    found, rows = read(tmp_path, a_file(tmp_path, content))
    assert (rows[:2], found.encoding, found.names) == (ROWS, encoding, ["name", "city"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_gives_the_same_rows(
    tmp_path: Path, delimiter: str, line_end: str
) -> None:
    text = TABLE.replace(",", delimiter).replace("\n", line_end)
    assert read(tmp_path, a_file(tmp_path, text))[1] == ROWS


def test_mixed_line_ends_and_line_ends_in_cells_lose_no_row(tmp_path: Path) -> None:
    text = 'a,b\r\n1,"x\ny"\r\n2,"say ""hi"", you"\n3,\n4,last'
    _, rows = read(tmp_path, a_file(tmp_path, text))
    assert rows == [("1", "x\ny"), ("2", 'say "hi", you'), ("3", None), ("4", "last")]


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    found, rows = read(tmp_path, a_file(tmp_path, "email\na@b.c\n\nd@e.f\n"))
    assert (found.names, rows) == (["email"], [("a@b.c",), (None,), ("d@e.f",)])


def test_a_delimiter_in_quotes_is_not_taken_for_the_files(tmp_path: Path) -> None:
    text = 'name;note\nAnn;"a, b, c"\nBob;"d, e, f"\n'
    assert read(tmp_path, a_file(tmp_path, text))[1] == [("Ann", "a, b, c"), ("Bob", "d, e, f")]


def test_names_that_are_sql_are_only_names(tmp_path: Path) -> None:
    names = ['"; DROP TABLE x; --', "select", "c1", "Ünï 'q'", "A", "a"]
    text = ",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n1,2,3,4,5,6\n"
    found, rows = read(tmp_path, a_file(tmp_path, text))
    assert (found.names, rows) == (names, [("1", "2", "3", "4", "5", "6")])


def test_json_lines_keep_every_key_and_nested_values_as_json(tmp_path: Path) -> None:
    text = '{"a": 1.50, "b": null, "c": "x"}\n{"d": {"e": [1, 2]}, "a": true, "b": ""}\n'
    found, rows = read(tmp_path, a_file(tmp_path, text, "leads.jsonl"))
    got = [dict(zip(found.names, row, strict=True)) for row in rows]
    assert got == [
        {"a": "1.5", "b": None, "c": "x", "d": None},
        {"a": "true", "b": "", "c": None, "d": '{"e":[1,2]}'},
    ]


def test_parquet_is_read_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    duckdb.sql(
        "SELECT 'Zoë' AS name, 1.50::DECIMAL(5,2) AS price, DATE '2024-02-29' AS day, NULL AS n"
    ).write_parquet(str(path))
    found, rows = read(tmp_path, path)
    assert (found.kind, found.names) == ("Parquet", ["name", "price", "day", "n"])
    assert rows == [("Zoë", "1.50", "2024-02-29", None)]


def test_a_workbooks_first_sheet_is_read_with_its_dates_and_gaps(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Leads"
    for row in (
        [None, None],
        ["name", "day", "n", "ok"],
        ['Zoë, "x"', dt.date(2024, 2, 29), 7.0, True],
        [None],
        ["Bo", dt.datetime(2024, 1, 2, 3, 4), 0.1],
    ):
        sheet.append(row)
    book.create_sheet("Other").append(["not read"])
    path = tmp_path / "leads.xlsx"
    book.save(path)
    found, rows = read(tmp_path, path)
    assert (found.sheet, found.names) == ("Leads", ["name", "day", "n", "ok"])
    assert rows == [
        ('Zoë, "x"', "2024-02-29", "7", "true"),
        ("Bo", "2024-01-02 03:04:00", "0.1", None),
    ]


def test_a_few_ragged_rows_are_left_out_and_named(tmp_path: Path) -> None:
    lines = [
        "a,b",
        *(f"{n},x" for n in range(400)),
        "short",
        "1,2,3",
        *(f"{n},y" for n in range(5)),
    ]
    found, rows = read(tmp_path, a_file(tmp_path, "\n".join(lines) + "\n"))
    assert len(rows) == found.rows == 405
    assert found.ragged.rows == 2
    assert found.ragged.first == ["row 401 has 1 cells", "row 402 has 3 cells"]
