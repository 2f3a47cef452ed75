"""Whatever a spreadsheet makes of a CSV is read as it was meant, or refused with the cure."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_assets.steps.failures.corrections import (
    Corrections,
    CorrectionsFileError,
    read_corrections,
)
from outreach_assets.steps.failures.formats import safe_cell
from outreach_assets.steps.preview import masked
from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import PEOPLE


def read(folder: Path, written: bytes) -> Corrections:
    file = folder / "mended.csv"
    file.write_bytes(written)
    return read_corrections(file)


def cells(corrections: Corrections) -> dict[str, dict[str, str]]:
    return {row.key: dict(row.cells) for row in corrections.rows}


PLAIN = "company_id,website_url\nc1,ü.example\nc2,b.example\n"


@pytest.mark.parametrize(
    "written",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.rstrip().encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        (PLAIN + "\n\n,\n").encode(),
        ("\n" + PLAIN).encode(),
        PLAIN.replace("company_id", " company_unique_id ").encode(),
        b'"company_id";"website_url"\n"c1";"\xc3\xbc.example"\n"c2";"b.example"\n',
    ],
)
def test_a_spreadsheets_way_of_writing_makes_no_difference(tmp_path: Path, written: bytes) -> None:
    found = read(tmp_path, written)
    assert cells(found) == {
        "c1": {"website_url": "ü.example"},
        "c2": {"website_url": "b.example"},
    }
    assert found.refused == []


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
        (b"company_id,website_url\n", "a header and no rows"),
        (b"company_id,website_url\n,\n", "a header and no rows"),
        (b"website_url\na.example\n", "no key column: its first line needs one of person_id"),
        (b"company_id,website_url\nc1,caf\xe9.example\n", r"is not UTF-8 \(line 2\)"),
        (PLAIN.encode("utf-16"), "is not UTF-8"),
        (b"company_id,website_url,website_url\nc1,a,b\n", "website_url"),
        (b"company_id,,website_url\nc1,a,b\n", "one without a name"),
        (b"company_id,company_unique_id\nc1,c1\n", "company_id and company_unique_id"),
        (b'company_id,website_url\nc1,"a.example\n', "is no CSV at line 2"),
        (b'company_id,website_url\nc1,"a"b\n', "is no CSV at line 2"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path: Path, written: bytes, says: str) -> None:
    with pytest.raises(CorrectionsFileError, match=says):
        read(tmp_path, written)


@pytest.mark.parametrize(
    ("header", "table"),
    [
        ("company_id,website_url", COMPANIES),
        ("company_unique_id,website_url", COMPANIES),
        ("person_id,email", PEOPLE),
        ("unique_id,company_unique_id", PEOPLE),
        ("company_id,person_id", PEOPLE),
    ],
)
def test_the_key_column_says_which_table_is_meant(
    tmp_path: Path, header: str, table: object
) -> None:
    assert read(tmp_path, f"{header}\na,b\n".encode()).table is table


def test_an_apostrophe_of_the_export_is_taken_off_and_one_of_a_person_is_not(
    tmp_path: Path,
) -> None:
    found = read(
        tmp_path,
        b"company_id,company_name,description\nc1,'=Acme,''tis\n'-c2,'Acme =1,\"'\t\"\n",
    )
    assert cells(found) == {
        "c1": {"company_name": "=Acme", "description": "''tis"},
        "-c2": {"company_name": "'Acme =1", "description": "\t"},
    }


def test_what_the_export_writes_is_read_back_as_it_was(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@x", "\uff1d1", " =1", "\t1", "'x", "x'=", "\ufeff=1", "\u22121"]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("company_id", "company_name"))
    for number, name in enumerate(names):
        writer.writerow((f"c{number}", safe_cell(name)))
    found = read(tmp_path, text.getvalue().encode())
    assert [row.cells["company_name"] for row in found.rows] == names


def test_a_cell_of_nothing_but_spaces_is_left_as_it_is(tmp_path: Path) -> None:
    assert cells(read(tmp_path, b"company_id,website_url,industry\nc1, ,x\n")) == {
        "c1": {"industry": "x"}
    }


def test_a_cell_may_be_a_megabyte_long(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    found = read(tmp_path, b"company_id,fail_reason\nc1," + b"x" * 1024 * 1024)
    assert len(found.rows[0].cells["fail_reason"]) == 1024 * 1024
    assert csv.field_size_limit() == limit


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9.]+", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(
            lambda text: text.strip() and not text.startswith("'")
        ),
        min_size=1,
        max_size=5,
    ),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path: Path, rows: dict[str, str], delimiter: str, end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("company_id", "description"), *rows.items()])
    found = read(tmp_path, text.getvalue().encode())
    assert cells(found) == {key: {"description": cell} for key, cell in rows.items()}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        ("Ann", "A•••"),
        ("ann@acme.example", "a•••@acme.example"),
        ("ann@acme.example, bob@b.example c", "a•••"),
        ("a\nbob\n", "a•••"),
    ],
)
def test_a_personal_value_shows_its_first_character_and_an_emails_domain(
    value: str, shown: str
) -> None:
    assert masked(value) == shown
