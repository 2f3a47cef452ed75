"""The analysts' file: views over the newest snapshot of every state, replaced under its readers."""

import json
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from b2_resources.keys import manifest_key
from b2_resources.local_store import LocalStore
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.upload import Published, publish, settle_exports
from outreach_assets.steps.workbench import refresh_workbench, workbench_path
from outreach_core.postgres import Postgres
from outreach_core.states import UNASSIGNED
from tests.given import a_company, a_person, export_raw, export_states, given_rows, given_sql

V1, V2 = "20260504030201", "20260504030202"


def published(home: Path, manifests: Mapping[str, Manifest]) -> None:
    store = LocalStore(home / "store")
    for outcome in publish(store, home / "exports", list(manifests.values())).values():
        assert isinstance(outcome, Published)
        settle_exports(home / "exports", outcome)


def refreshed(home: Path) -> Path:
    path = refresh_workbench(home, home / "exports")
    assert path == workbench_path(home)
    return path


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as duck:
        return duck.execute(sql).fetchall()


def test_states_are_seen_together_with_their_code(tmp_path: Path) -> None:
    companies = [
        a_company("c1"),
        a_company("c2", outreach_state="PA"),
        a_company("c3", outreach_state=UNASSIGNED),
        a_company("c4", outreach_state="PA", company_name=None),
    ]
    published(tmp_path, export_raw(tmp_path, companies, states=("PA", UNASSIGNED, "WV")))
    path = refreshed(tmp_path)
    assert rows(
        path, "SELECT company_unique_id, outreach_state FROM companies_good ORDER BY 1"
    ) == [
        ("c1", "WV"),
        ("c2", "PA"),
        ("c3", UNASSIGNED),
    ]
    assert rows(path, "SELECT company_unique_id, validation_errors FROM companies_bad") == [
        ("c4", ["company_name_missing"])
    ]


def test_states_whose_columns_differ_are_seen_together(postgres: Postgres, tmp_path: Path) -> None:
    people = [a_person("p1"), a_person("p2", company_unique_id="c2")]
    given_rows(postgres, [a_company(), a_company("c2", address_state="PA")], people)
    published(tmp_path, export_states(postgres, tmp_path, ["PA"]))
    given_sql(
        postgres,
        "ALTER TABLE marketing.people_master ADD filename text DEFAULT 'later'",
        "ALTER TABLE marketing.people_master ALTER promotion_audit_log_id TYPE bigint",
        "UPDATE marketing.people_master SET promotion_audit_log_id = 5000000000",
        "ALTER TABLE marketing.people_master DROP bio",
    )
    published(tmp_path, export_states(postgres, tmp_path, ["WV"], version=V2))
    assert rows(
        refreshed(tmp_path),
        "SELECT unique_id, outreach_state, filename, bio, promotion_audit_log_id "
        "FROM people_good ORDER BY 1",
    ) == [("p1", "WV", "later", None, 5_000_000_000), ("p2", "PA", None, None, None)]


def test_snapshots_lists_every_file_of_every_version(tmp_path: Path) -> None:
    published(tmp_path, export_raw(tmp_path, [a_company()]))
    published(tmp_path, export_raw(tmp_path, [a_company(), a_company("c2")], version=V2))
    assert rows(
        refreshed(tmp_path),
        "SELECT outreach_state, version, rows FROM snapshots "
        "WHERE table_name = 'companies' AND verdict = 'good' ORDER BY version",
    ) == [("WV", V1, 1), ("WV", V2, 2)]


def test_a_reason_is_plotted_over_weeks_with_one_query(tmp_path: Path) -> None:
    weeks = ["20260504030201", "20260511030201", "20260518030201"]
    for nameless, version in enumerate(weeks):
        companies = [
            a_company(f"c{number}", company_name="A" if number >= nameless else None)
            for number in range(3)
        ]
        people = [a_person(f"p{number}", company_unique_id=f"c{number}") for number in range(3)]
        published(tmp_path, export_raw(tmp_path, companies, people, version=version))
    first = tmp_path / "exports" / manifest_key("WV", weeks[0])
    known = json.loads(first.read_bytes())
    gone = known.pop("rule_fingerprints")["company_name_missing"]
    known["format"] = 1
    known["reasons"]["of_old"] = known.pop("warnings")["company_not_valid"]
    first.write_text(json.dumps(known))
    path = refreshed(tmp_path)
    assert rows(
        path,
        "SELECT published_at::VARCHAR, rows, of_rows, rule_fingerprint FROM reasons_by_snapshot "
        "WHERE reason = 'company_name_missing' AND outreach_state = 'WV' ORDER BY 1",
    ) == [
        ("2026-05-04 03:02:01", 0, 3, None),
        ("2026-05-11 03:02:01", 1, 3, gone),
        ("2026-05-18 03:02:01", 2, 3, gone),
    ]
    assert rows(
        path,
        "SELECT version, table_name, severity, rows, of_rows FROM reasons_by_snapshot "
        "WHERE reason IN ('company_not_valid', 'of_old') ORDER BY 1",
    ) == [
        (weeks[0], None, "error", 0, None),
        (weeks[1], "people", "warn", 1, 3),
        (weeks[2], "people", "warn", 2, 3),
    ]


def test_a_reason_over_time_counts_the_states_that_were_not_published_too(tmp_path: Path) -> None:
    bad = {"company_name": None}
    wv, pa = a_company(**bad), a_company("p", outreach_state="PA", **bad)
    published(tmp_path, export_raw(tmp_path, [wv, pa], states=("PA", "WV"), version=V1))
    published(tmp_path, export_raw(tmp_path, [wv, a_company("c2", **bad)], version=V2))
    assert rows(
        refreshed(tmp_path),
        "SELECT rows, of_rows FROM reasons_over_time WHERE reason = 'company_name_missing' "
        "ORDER BY published_at",
    ) == [(2, 2), (3, 3)]


def test_a_reader_keeps_what_it_has_open_while_the_file_is_replaced(tmp_path: Path) -> None:
    published(tmp_path, export_raw(tmp_path, [a_company()]))
    with duckdb.connect(str(refreshed(tmp_path)), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM companies_good").fetchall() == [(1,)]
        published(tmp_path, export_raw(tmp_path, [a_company(), a_company("c2")], version=V2))
        path = refreshed(tmp_path)
        assert reader.execute("SELECT count(*) FROM companies_good").fetchall() == [(2,)]
    assert rows(path, "SELECT count(*) FROM companies_good") == [(2,)]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("drafts", [False, True])
def test_there_is_no_workbench_before_the_first_snapshot(tmp_path: Path, *, drafts: bool) -> None:
    if drafts:
        export_raw(tmp_path, [a_company()])
    assert refresh_workbench(tmp_path, tmp_path / "exports") is None
    assert not workbench_path(tmp_path).exists()
