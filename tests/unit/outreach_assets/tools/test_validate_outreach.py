"""validate-outreach: the pipeline's rules on a file, and files that can be handed in again."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from outreach_assets.steps.validate import split_rows
from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Table, Verdict
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from tests.given import a_company, a_duck, a_person, given_raw
from tests.unit.outreach_assets.tools.handed_in import a_file, work

CASES = [
    (
        PEOPLE,
        [a_person("p1"), a_person("p2", email="nope"), a_person("p3", email=None, title=None)],
    ),
    (
        COMPANIES,
        [
            a_company("c1"),
            a_company("c2", company_name=None),
            a_company("c3", website_url=None, company_name=None),
            a_company("c4", website_url="acme"),
        ],
    ),
]


def judged(folder: Path, text: str, **parameters: object) -> Mapping[str, Any]:
    return work(folder, "validate-outreach", {"primary": a_file(folder, text)}, **parameters)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    names = list(rows[0])
    lines = [",".join("" if row[n] is None else str(row[n]) for n in names) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def written(folder: Path, verdict: Verdict) -> list[dict[str, str]]:
    with (folder / "outputs" / f"{verdict}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("table", "rows"), CASES, ids=lambda one: getattr(one, "name", ""))
def test_a_file_is_judged_as_the_pipeline_judges_the_table(
    tmp_path: Path, table: Table, rows: list[dict[str, object]]
) -> None:
    summary = judged(tmp_path, as_csv(rows))
    with a_duck(tmp_path) as duck:
        for one in (COMPANIES, PEOPLE):
            given_raw(duck, one, rows if one is table else [])
        split_rows(duck, [table], ["WV"])
        expected = dict(
            duck.execute(f"SELECT {table.key}, validation_errors FROM {table.name}_bad").fetchall()
        )
    assert summary["table"] == table.name
    assert {
        row[table.key]: row["validation_errors"].split("; ")
        for row in written(tmp_path, Verdict.BAD)
    } == expected
    good = [row[table.key] for row in written(tmp_path, Verdict.GOOD)]
    assert good == [row[table.key] for row in rows if row[table.key] not in expected]
    assert summary["rows"] == summary["good"] + summary["bad"] == len(rows)


def test_reasons_are_said_in_words_and_counted(tmp_path: Path) -> None:
    summary = judged(tmp_path, "unique_id,company_unique_id,email,title\np1,c1,,\np1,c1,a@b.c,x\n")
    (bad,) = written(tmp_path, Verdict.BAD)
    words = [rule.complaint for rule in PEOPLE.errors]
    assert bad["validation_errors_in_words"] == "; ".join(words)
    assert [one["rows"] for one in summary["reasons"]] == [1, 1]
    assert (summary["keys_missing"], summary["keys_repeated"]) == (0, 1)
    path = tmp_path / "outputs" / "validation_summary.json"
    assert json.loads(path.read_text(encoding="utf-8")) == summary


def test_bad_rows_can_be_mended_and_handed_in_again(tmp_path: Path) -> None:
    judged(tmp_path, "unique_id,company_unique_id,email,title\np1,c1,nope,x\n")
    mended = (tmp_path / "outputs" / "bad.csv").read_text().replace("nope", "a@b.example")
    summary = judged(tmp_path, mended)
    assert (summary["good"], summary["bad"], summary["columns_unknown_to_the_table"]) == (1, 0, [])
    assert list(written(tmp_path, Verdict.GOOD)[0]) == [
        *("unique_id", "company_unique_id", "email", "title")
    ]


def test_cells_that_would_be_formulas_are_made_text(tmp_path: Path) -> None:
    cells = ["=1+1", "@x", "+cmd|'x'!A", "-2+a", " =x", "+13045551234", "-12.5", "a=b", "'=x"]
    rows = "".join(f'p{n},c1,"{cell}",t,"a@b.c",\n' for n, cell in enumerate(cells))
    summary = judged(tmp_path, f"unique_id,company_unique_id,bio,title,email,=1+1\n{rows}")
    assert "'=1+1" in written(tmp_path, Verdict.GOOD)[0]
    shown = [row["bio"] for row in written(tmp_path, Verdict.GOOD)]
    assert shown == [*(f"'{cell}" for cell in cells[:5]), *cells[5:]]
    assert summary["cells_made_harmless"] == 5


def test_values_that_postgres_would_refuse_are_counted(tmp_path: Path) -> None:
    text = "company_unique_id,company_name,website_url,employee_count,created_at\n"
    summary = judged(tmp_path, text + "c1,A,a.b,12,2024-01-02\nc2,B,b.c,many,yesterday\n")
    assert summary["values_of_a_wrong_type"] == {
        "employee_count": {"expected": "integer", "rows": 1},
        "created_at": {"expected": "timestamptz", "rows": 1},
    }


@pytest.mark.parametrize(
    ("header", "parameters", "code", "names"),
    [
        ("a,b,c,d", {}, ErrorCode.TABLE_NOT_RECOGNISED, "people need company_unique_id, email"),
        ("unique_id,email,x,y", {}, ErrorCode.MISSING_COLUMNS, "company_unique_id, title"),
        (
            "unique_id,company_unique_id,email,title",
            {"table": "companies"},
            ErrorCode.MISSING_COLUMNS,
            "company_name, website_url",
        ),
        ("unique_id,company_unique_id,email,Email", {}, ErrorCode.DUPLICATE_COLUMN_NAMES, "Email"),
        ("unique_id,company_unique_id,email", {}, ErrorCode.RAGGED_ROWS, "row 1 has 4"),
    ],
)
def test_a_file_that_is_no_table_of_ours_is_told_what_is_missing(
    tmp_path: Path, header: str, parameters: dict[str, str], code: ErrorCode, names: str
) -> None:
    with pytest.raises(ToolRefusedError) as refused:
        judged(tmp_path, f"{header}\n1,2,3,4\n", **parameters)
    assert refused.value.code is code
    assert names in str(refused.value)


def test_a_single_ragged_row_is_refused_for_it_would_be_lost(tmp_path: Path) -> None:
    rows = "".join(f"p{n},c1,a@b.c,x\n" for n in range(300))
    with pytest.raises(ToolRefusedError) as refused:
        judged(tmp_path, f"unique_id,company_unique_id,email,title\n{rows}p9,c1\n")
    assert "row 301 has 2 cells" in str(refused.value)
