"""What clean-my-data promises of any file: nothing lost, nothing left to clean, the same bytes."""

import json
import tempfile
from pathlib import Path

import duckdb
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.clean_my_data.agents import DEFAULT, Agent
from outreach_assets.tools.clean_my_data.manifest import CLEAN_MY_DATA
from outreach_assets.tools.clean_my_data.report import CleaningReport
from outreach_assets.tools.harmless import harmless
from outreach_assets.tools.run_tool import ToolRun, run_tool
from tests.unit.outreach_assets.tools.cleaned import Cleaned, cleaned
from tests.unit.outreach_assets.tools.handed_in import a_file

LEADS = (
    "name,email,joined,revenue\n"
    ' Ann ,ANN@x.example,13/02/2024,"$1,234.50"\n'
    "Ann,ann@x.example,2024-02-13,1234.50\n"
    "Zoë,zoe@x.example,01/02/2024,\n"
)
ROWS = [
    ["Ann", "ann@x.example", "2024-02-13", "1234.50"],
    ["Zoë", "zoe@x.example", "2024-02-01", ""],
]
NAMES = ["name", "email", "joined", "revenue"]

CELLS = st.one_of(
    st.sampled_from(
        [
            *("", "N/A", " a ", "A", "=1+1", "'=1+1", "+x", "@", "\t=x", "007", "12.5", "12,5"),
            *("1,234", "1.234", "$5", "€6", "1 234,5", "(5)", "1e9", "900000", "2024-01-02"),
            *("1/2/2024", "13/2/2024", "2/13/2024", "31/02/2024", "1/2/24", "Jan 2, 2024 3:04 pm"),
            *("304-555-1234", "(304) 555-1234", "+13045551234", "304-555-1234 x9", "3045551234"),
            *("A@X.example", "mailto:mailto:a@x.example", "<a@x.example>", "www.X.example/"),
            *("https://Y.example:443/", "ohio", "W. Va.", "OH", "e\u0301", "a\u200bb", "\u00a0"),
            *('"', "a;b", "a,b", "a\nb", "a\r\nb", "\u2028", "İ@x.example", "\u212b", "|", "{"),
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=14)
HEADS = st.sampled_from(["state", "phone", "website", "joined", "note", "=name", "a;b", "{x"])
CHOICES = st.fixed_dictionaries(
    {"evidence": st.sampled_from([0.5, 0.8])},
    optional={
        "agents": st.lists(st.sampled_from(list(Agent)), unique=True),
        "fill_with": st.sampled_from(["value", "most_frequent"]),
        "similarity": st.sampled_from([0.8, 1.0]),
        "outlier_action": st.sampled_from(["flag", "quarantine"]),
        "outlier_fence": st.sampled_from([1.0, 3.0]),
    },
)
ANY_FILE = given(rows=TABLES, head=HEADS, choices=CHOICES)


def a_csv(rows: list[tuple[str, str]], head: str) -> str:
    table = [(head, "other"), *rows]
    return "".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in table
    )


def keeps_its_promises(rows: list[tuple[str, str]], head: str, choices: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once = cleaned(folder, a_csv(rows, head), **choices)
        assert_nothing_is_lost(once)
        assert once.facts["is_settled"]
        if head != "=name":
            assert once.replayed() == [[cell or None for cell in row] for row in once.rows]
        assert all(cell == harmless(cell) for row in once.lines + once.quarantined for cell in row)
        if once.rows:
            twice = cleaned(folder, once.folder / "cleaned_data.csv", **choices)
            assert written(twice) == written(once)


def assert_nothing_is_lost(done: Cleaned) -> None:
    facts = done.facts
    assert len(done.given) == facts["rows_read"]
    assert len(done.rows) == facts["rows_cleaned"]
    assert len(done.quarantined) == facts["rows_quarantined"]
    removed = [entry for entry in done.log if entry[4] == "exact_duplicates"]
    assert len(removed) == facts["rows_duplicates_removed"]
    assert len(done.given) == len(done.rows) + len(done.quarantined) + len(removed)


def written(done: Cleaned) -> bytes:
    return (done.folder / "cleaned_data.csv").read_bytes()


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@ANY_FILE
def test_nothing_is_lost_and_cleaning_again_changes_nothing(
    rows: list[tuple[str, str]], head: str, choices: dict[str, object]
) -> None:
    keeps_its_promises(rows, head, choices)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@ANY_FILE
def test_the_same_of_many_more_files(
    rows: list[tuple[str, str]], head: str, choices: dict[str, object]
) -> None:
    keeps_its_promises(rows, head, choices)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    agents = {"agents": [*DEFAULT, "near_duplicates"]}
    first, second = (cleaned(tmp_path, LEADS, **agents) for _ in range(2))
    names = sorted(path.name for path in first.folder.iterdir())
    assert names == [
        *("cleaned_data.csv", "cleaning_log.parquet", "cleaning_report.json"),
        *("cleaning_report.xlsx", "quarantined_rows.csv"),
    ]
    for name in names:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_the_report_counts_what_the_log_holds(tmp_path: Path) -> None:
    done = cleaned(tmp_path, LEADS)
    text = (done.folder / "cleaning_report.json").read_text(encoding="utf-8")
    report = CleaningReport.model_validate_json(text).model_dump()
    assert (report["schema_version"], report["is_settled"]) == (1, True)
    assert list(report["rows"].values()) == [3, 2, 0, 1]
    agents = {one["agent"]: one for one in report["agents"]}
    changed = {name: one["cells_changed"] for name, one in agents.items() if one["cells_changed"]}
    assert changed == {"trim": 1, "dates": 2, "numbers": 1, "emails": 1}
    assert not agents["near_duplicates"]["is_on"]
    joined = next(one for one in report["columns"] if one["name"] == "joined")
    assert (joined["kind"], joined["share"], joined["says"]) == ("dates", 1.0, "day_first")
    book = openpyxl.load_workbook(done.folder / "cleaning_report.xlsx")
    assert book.sheetnames == ["Summary", "Agents", "Columns", "Quarantine"]
    assert ["rows cleaned", 2] in [list(row) for row in book["Summary"].values]


def test_tsv_and_json_lines_come_back_as_they_came(tmp_path: Path) -> None:
    tsv = cleaned(tmp_path, "a\tb\n x \t\n", name="leads.tsv")
    assert (tsv.folder / "cleaned_data.tsv").read_text() == "a\tb\nx\t\n"
    given = '{"id": 1, "n": " x ", "m": "7", "tags": ["a"], "ok": true}\n{"id": 2, "n": null}\n'
    lines = cleaned(tmp_path, given, name="leads.jsonl")
    text = (lines.folder / "cleaned_data.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": 1, "n": "x", "m": "7", "tags": ["a"], "ok": True},
        {"id": 2, "n": None, "m": None, "tags": None, "ok": None},
    ]


def test_parquet_comes_back_with_the_types_its_cells_still_have(tmp_path: Path) -> None:
    path = tmp_path / "leads.parquet"
    sql = "SELECT 1::BIGINT AS id, ' x ' AS n, 1.50::DECIMAL(9,2) AS p, DATE '2024-02-29' AS d"
    duckdb.sql(sql).write_parquet(str(path))
    done = cleaned(tmp_path, path)
    found = duckdb.sql(f"FROM read_parquet('{done.folder}/cleaned_data.parquet')")
    assert [str(kind) for kind in found.types] == ["BIGINT", "VARCHAR", "DECIMAL(9,2)", "DATE"]
    assert done.rows == [["1", "x", "1.50", "2024-02-29"]]


def test_a_workbook_comes_back_as_one_without_formulas(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "History"
    for row in (["n", "zip", "note"], [1.5, "00501", " x "], [2, "25301", "'=1+1"]):
        sheet.append(row)
    book.save(tmp_path / "leads.xlsx")
    done = cleaned(tmp_path, tmp_path / "leads.xlsx")
    found = openpyxl.load_workbook(done.folder / "cleaned_data.xlsx")["History_"]
    assert [list(row) for row in found.values] == [
        ["n", "zip", "note"],
        [1.5, "00501", "x"],
        [2, "25301", "'=1+1"],
    ]


def test_names_that_are_sql_or_differ_in_case_are_kept(tmp_path: Path) -> None:
    names = ['"; DROP TABLE rows; --', "row", "ROW", "row_in_file", "c1", "reason"]
    head = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    done = cleaned(tmp_path, f"{head}\n1,2,3,4,5,6\n,,,,,\n", agents="drop_nulls")
    assert (done.lines[0], done.rows) == (names, [["1", "2", "3", "4", "5", "6"]])
    quarantine = (done.folder / "quarantined_rows.csv").read_text().splitlines()
    assert quarantine[0].endswith(',"row_in_file_","quarantine_reason"')
    assert quarantine[1].endswith(",2,every cell is empty")


def test_hostile_values_are_only_text(tmp_path: Path) -> None:
    values = ["'); DROP TABLE gone; --", "${jndi:x}", "\u202egnp.exe", "x" * 100_000, "%s{0}"]
    given = "".join(f'"{value}"\n' for value in values)
    done = cleaned(tmp_path, a_file(tmp_path, f"note\n{given}"))
    assert done.column() == [*values[:2], "gnp.exe", *values[3:]]


def test_a_process_of_its_own_does_it_with_parameters_from_a_command_line(tmp_path: Path) -> None:
    path = a_file(tmp_path, LEADS)
    run = ToolRun(
        tool=CLEAN_MY_DATA,
        inputs={"primary": path},
        parameters={"agents": "trim,exact_duplicates", "keep_formulas": "true"},
    )
    (tmp_path / "run").mkdir()
    result = run_tool(run, tmp_path / "run", limits=ToolLimits(seconds=60))
    assert (result.facts["rows_cleaned"], result.facts["cells_changed"]) == (3, 1)
    assert {one.name for one in result.outputs} <= {one.name for one in CLEAN_MY_DATA.outputs}
