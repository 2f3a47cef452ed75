"""Four whole Parquet files and a receipt per state, or nothing under their names."""

from pathlib import Path
from typing import Self

import duckdb
import pytest

import outreach_assets.steps.export as export_module
from b2_resources import keys
from outreach_assets.steps.export import ExportDiffersError
from outreach_assets.steps.manifest import FileFacts, read_manifest
from outreach_assets.steps.preview import preview_rows
from outreach_assets.steps.private_duckdb import DiskFullError, Duck
from outreach_assets.steps.workbench import refresh_workbench
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict
from outreach_core.states import ALL_STATES
from tests.given import (
    VERSION,
    a_company,
    a_duck,
    a_person,
    export_judged,
    export_raw,
    judge_raw,
)

BOTH = [(table, verdict) for table in TABLES for verdict in Verdict]


def written(exports: Path) -> set[str]:
    return {str(path.relative_to(exports)) for path in exports.rglob("*") if path.is_file()}


def described(path: Path) -> list[tuple[str, str]]:
    with duckdb.connect() as duck:
        found = duck.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    return [(name, kind) for name, kind, *_ in found]


def test_an_empty_state_has_four_files_with_full_schemas(tmp_path: Path) -> None:
    manifest = export_raw(tmp_path)["WV"]
    assert [file.rows for file in manifest.files] == [0, 0, 0, 0]
    for table, verdict in BOTH:
        columns = described(tmp_path / "exports" / manifest.file(table.name, verdict).key)
        extra = [("validation_errors", "VARCHAR[]")] * (verdict is Verdict.BAD)
        assert len(columns) == 29 + len(extra)
        assert columns[29:] == extra
        assert dict(columns)[table.key] == "VARCHAR"


def test_all_states_have_four_files_and_a_receipt_each(tmp_path: Path) -> None:
    export_raw(tmp_path, [a_company()], [a_person()], states=ALL_STATES)
    wanted = {keys.manifest_key(state, VERSION) for state in ALL_STATES} | {
        keys.snapshot_key(state, table.name, verdict, VERSION)
        for state in ALL_STATES
        for table, verdict in BOTH
    }
    assert written(tmp_path / "exports") == wanted


def test_the_receipt_on_disk_is_the_one_that_was_returned(tmp_path: Path) -> None:
    manifest = export_raw(tmp_path, [a_company()], [a_person(email=None)])["WV"]
    body = (tmp_path / "exports" / manifest.key).read_bytes()
    assert read_manifest(body, "here") == manifest
    assert manifest.reasons["email_invalid"] == 1


def test_a_bad_row_is_the_whole_row_and_its_reasons(tmp_path: Path) -> None:
    manifest = export_raw(tmp_path, [], [a_person(email=None, title=None, skills=["a", None])])
    path = tmp_path / "exports" / manifest["WV"].file("people", "bad").key
    with duckdb.connect() as duck:
        found = duck.execute(f"SELECT unique_id, skills, validation_errors FROM '{path}'")
        assert found.fetchall() == [("p1", ["a", None], ["email_invalid", "title_missing"])]


class FailingDuck:
    """A DuckDB whose nth COPY fails when it is done, as one on a full disk does."""

    def __init__(self, duck: Duck, nth: int) -> None:
        self._duck, self._left = duck, [nth]

    def cursor(self) -> "FailingDuck":
        cursor = FailingDuck(self._duck.cursor(), 0)
        cursor._left = self._left
        return cursor

    def execute(self, statement: str) -> Duck:
        done = self._duck.execute(statement)
        if statement.startswith("COPY"):
            self._left[0] -= 1
            if self._left[0] == 0:
                raise duckdb.IOException("Could not write file: No space left on device")
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._duck.close()


@pytest.mark.parametrize("nth", [1, 3, 8])
def test_a_writer_that_fails_leaves_no_half_file_and_no_receipt(tmp_path: Path, nth: int) -> None:
    exports = tmp_path / "exports"
    with a_duck(tmp_path) as duck:
        judged = judge_raw(duck, [a_company()], [a_person()], ("PA", "WV"))
        with pytest.raises(DiskFullError, match="OUTREACH_HOME"):
            export_judged(FailingDuck(duck, nth), judged, exports)
    assert not [name for name in written(exports) if not name.endswith(f"{VERSION}.parquet")]
    for name in written(exports):
        described(exports / name)


def test_an_export_goes_on_where_a_failed_one_left_off(tmp_path: Path) -> None:
    test_a_writer_that_fails_leaves_no_half_file_and_no_receipt(tmp_path, 3)
    export_raw(tmp_path, [a_company()], [a_person()], states=("PA", "WV"))
    assert len(written(tmp_path / "exports")) == 10


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT * FROM '{path}' LIMIT 0", "does not hold the rows"),
        ("SELECT * FROM '{path}' UNION ALL SELECT * FROM '{path}'", "does not hold the rows"),
        ("SELECT * REPLACE ('c2' AS company_unique_id) FROM '{path}'", "does not hold the rows"),
        ("SELECT * EXCLUDE (industry) FROM '{path}'", "does not have the columns"),
        ("SELECT * REPLACE ('1' AS employee_count) FROM '{path}'", "does not have the columns"),
    ],
)
def test_a_file_that_is_not_what_was_judged_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, says: str
) -> None:
    """The file is changed between its writing and the look that is taken back at it."""
    write = export_module._write

    def write_and_tamper(duck: Duck, *arguments: object) -> FileFacts:
        facts = write(duck, *arguments)
        if facts.table == "companies" and facts.verdict == "good":
            path = tmp_path / "exports" / facts.key
            other = path.with_suffix(".other")
            duck.execute(f"COPY ({sql.format(path=path)}) TO '{other}' (FORMAT parquet)")
            other.replace(path)
        return facts

    monkeypatch.setattr(export_module, "_write", write_and_tamper)
    with pytest.raises(ExportDiffersError, match=says):
        export_raw(tmp_path, [a_company()])
    assert not list((tmp_path / "exports").rglob("*.json"))


ODD_FOLDERS = [
    'it\'s "here"',
    "ein Ördner 🗂",
    "star*ring",
    "brack[et]s",
    "env=prod",
    "outreach/pa/good",
    "semi;colon -- ",
    "100%",
]


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_the_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    manifest = export_raw(home, [a_company()], [a_person()])["WV"]
    exports = home / "exports"
    for file in manifest.files:
        newest = exports / keys.newest_key("WV", file.table, file.verdict)
        newest.hardlink_to(exports / file.key)
    workbench = refresh_workbench(home, exports)
    with duckdb.connect(str(workbench), read_only=True) as duck:
        found = duck.execute("SELECT company_unique_id, outreach_state FROM companies_good")
        assert found.fetchall() == [("c1", "WV")]
        assert duck.execute("SELECT count(*) FROM snapshots").fetchall() == [(4,)]
        path = exports / manifest.file("people", "good").key
        assert "p1" in preview_rows(duck, path, TABLES[1], Verdict.GOOD)


def fill_beyond_the_limits(home: Path) -> None:
    with a_duck(home, memory_mb=64) as duck:
        duck.execute("SET max_temp_directory_size = '10MB'")
        duck.execute(
            "CREATE TABLE t AS SELECT repeat('x', 2000) || n AS x FROM range(99999) AS t(n)"
        )


def test_too_little_memory_names_the_settings(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="OUTREACH_DUCKDB_MEMORY_MB"):
        fill_beyond_the_limits(tmp_path)
