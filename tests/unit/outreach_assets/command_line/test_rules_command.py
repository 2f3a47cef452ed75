"""`outreach rules list`: every rule, its severity by setting, and its failures over time."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outreach_assets.command_line.main import app
from outreach_assets.tables.catalogue import TABLES, tables_for
from tests.given import a_company, a_person, export_raw

DAYS = ["20260504030201", "20260505030201", "20260506030201"]


def outreach(*words: str) -> str:
    result = CliRunner().invoke(app, ["rules", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path))
    return tmp_path


def test_rules_are_listed_with_their_failures(home: Path) -> None:
    for count, day in enumerate(DAYS):
        people = [a_person(f"p{n}", title=None if n < 2 * count else "CFO") for n in range(8)]
        export_raw(home, [a_company("c1", company_name=None)], people, version=day)
    said = {rule["rule"]: rule for rule in json.loads(outreach("list", "--json"))["rules"]}
    rules = [rule for table in TABLES for rule in table.rules]
    assert list(said) == [rule.name for rule in rules]
    assert {name: one["fingerprint"] for name, one in said.items()} == {
        rule.name: rule.fingerprint for rule in rules
    }
    assert said["title_missing"]["history"] == [
        {"version": day, "rows": 2 * count, "of": 8} for count, day in enumerate(DAYS)
    ]
    assert said["company_not_valid"]["severity"] == "warn"
    assert [point["rows"] for point in said["company_not_valid"]["history"]] == [8, 8, 8]
    _, line = [line for line in outreach("list").splitlines() if "title_missing" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[-4:] == ["4", "50.0%", "2", "▁▅█"]


def test_severities_are_those_of_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTREACH_COMPANY_NOT_VALID", "error")
    [said] = [
        rule
        for rule in json.loads(outreach("list", "--json"))["rules"]
        if rule["rule"] == "company_not_valid"
    ]
    assert (said["severity"], said["history"]) == ("error", [])
    assert said["fingerprint"] == tables_for("error")[1].rules[-1].fingerprint
    assert "outreach snapshots fetch" in outreach("list")
