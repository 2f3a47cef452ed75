"""The page and the workbook: whole, and nothing from the file is ever code in them."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pytest

from outreach_assets.tools.profile_my_data.masking import LOOKED_AT, masked
from outreach_assets.tools.profile_my_data.report import ProfileReport
from tests.unit.outreach_assets.tools.handed_in import profiled

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+SUM(A1:A9)",
    "-2+3",
    "@SUM(1)",
    "http://evil.example/x",
    "{=1+1}",
    "</style><script>x</script>",
]
HOSTILE = (
    "".join('"' + value.replace('"', '""') + '",' for value in EVIL).rstrip(",")
    + "\n"
    + "".join(
        ",".join('"' + value.replace('"', '""') + '"' for value in EVIL) + "\n" for _ in range(4)
    )
)


class Tags(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    profiled(folder, HOSTILE, baseline=HOSTILE.replace("=1+1", "=9+9"))
    return folder / "outputs"


def test_the_page_holds_no_tag_of_the_files(outputs: Path) -> None:
    page = Tags()
    text = (outputs / "data_profile_report.html").read_text(encoding="utf-8")
    page.feed(text)
    assert not page.tags & {"script", "img", "iframe", "a", "link", "object", "form"}
    assert not any(name.startswith("on") for name in page.attributes)
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_asks_no_other_machine(outputs: Path) -> None:
    text = (outputs / "data_profile_report.html").read_text(encoding="utf-8")
    assert not re.search(
        r"""(src|href|action)\s*=|url\(|@import""", re.sub("&[a-z]+;.*?<", "<", text)
    )
    assert "default-src 'none'" in text


def test_no_cell_of_the_workbook_is_a_formula_or_a_link(outputs: Path) -> None:
    book = openpyxl.load_workbook(outputs / "data_profile_report.xlsx")
    seen = set()
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f", (sheet.title, cell.coordinate)
                assert cell.hyperlink is None
                seen.add(cell.value)
    assert {"=1+1", "@SUM(1)", "{=1+1}"} <= seen
    names = ["Summary", "Issues", "Columns", "Top values", "Patterns", "Relations", "Drift"]
    assert book.sheetnames == names
    assert len(book["Summary"]._charts) == 3


def test_the_json_fits_its_schema_and_every_field_is_described(outputs: Path) -> None:
    text = (outputs / "data_profile_report.json").read_text(encoding="utf-8")
    assert ProfileReport.model_validate_json(text).schema_version == 1
    schema = ProfileReport.model_json_schema()
    assert set(json.loads(text)) == set(schema["properties"])
    for name, part in schema["$defs"].items():
        assert part.get("description"), name


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("call 304-555-1234 now", "call •••34 now"),
        ("ann.lee@a.example, x", "a•••@a.example, x"),
        ("+44 20 7946 0000", "•••00"),
        ("ssn 321-54-9876", "ssn •••76"),
        ("4111 1111 1111 1111", "•••11"),
        ("04.04.01.33.00033.033", "04.04.01.33.00033.033"),
        ("2024-01-02", "2024-01-02"),
        ("3.14159265358979", "3.14159265358979"),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_values_of_other_columns_are_shown_without_what_is_personal(value: str, shown: str) -> None:
    assert masked(value, is_personal=False) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("ann@a.example", "a•••@a.example"), ("Ann Lee", "A•••"), ("ann@a@b.example x", "•••")],
)
def test_values_of_personal_columns_keep_one_character(value: str, shown: str) -> None:
    assert masked(value, is_personal=True) == shown


def test_a_cell_of_a_megabyte_is_masked_at_once() -> None:
    assert len(masked("x" * 1_000_000, is_personal=False)) < LOOKED_AT
