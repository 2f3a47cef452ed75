"""`outreach failures export` and `batches` as people type them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line.main import app
from outreach_core.postgres import Postgres
from tests.given import a_failure, given_failures

Command = Callable[..., Result]


@pytest.fixture
def outreach(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path))
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    monkeypatch.setenv("B2_VALIDATION_FAILURES_PREFIX", "bad-rows")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["failures", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


def test_failures_wait_are_exported_and_listed(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    person = {"company_id": None, "failure_type": "person", "person_id": "p1"}
    given_failures(
        postgres, a_failure(company_name="=1"), a_failure("c2", state="PA"), a_failure(**person)
    )
    waiting = json.loads(outreach("export", "--dry-run", "--state", "wv", "--json").stdout)
    assert waiting["rows"] == 2
    assert "WV-VALIDATION-20251118" in outreach("export", "--dry-run").stdout
    words = ["--type", "company", "--format", "csv", "--batch-size", "1", "-s", "WV"]
    said = outreach("export", *words, "--json")
    (first,) = json.loads(said.stdout)["exported"]
    assert first["key"].startswith("bad-rows/")
    assert first["key"].endswith("/company_failures_WV-VALIDATION-20251118-BATCH-001.csv")
    assert "c1,'=1," in (tmp_path / "store" / first["key"]).read_text()
    assert f"1 failures in {first['key']}" in said.stderr
    assert "2 failures exported" in outreach("export").stdout
    listed = json.loads(outreach("batches", "--json").stdout)["batches"]
    assert [(b["status"], b["rows"]) for b in listed] == [("exported", 1)] * 3
    assert first["key"] in outreach("batches").stdout
    assert outreach("export", "--json").stdout == '{\n "rows": 0,\n "exported": []\n}\n'


@pytest.mark.slow
def test_formulas_stay_when_asked(outreach: Command, postgres: Postgres, tmp_path: Path) -> None:
    given_failures(postgres, a_failure(company_name="=1"))
    said = outreach("export", "--format", "csv", "--keep-formulas", "--json")
    (only,) = json.loads(said.stdout)["exported"]
    assert "c1,=1," in (tmp_path / "store" / only["key"]).read_text()


@pytest.mark.slow
def test_an_export_that_stops_halfway_says_what_arrived_and_what_did_not(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    person = {"company_id": None, "failure_type": "person", "person_id": "p1"}
    given_failures(postgres, a_failure(), a_failure(**person))
    for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
        name = f"bad-rows/{day:%Y-%m-%d}/person_failures_WV-VALIDATION-20251118.json"
        (tmp_path / "store" / name / "in the way").mkdir(parents=True)
    said = outreach("export", "--json", code=3)
    assert json.loads(said.stdout)["rows"] == 1
    assert "error:" in said.stderr
    listed = json.loads(outreach("batches", "--json").stdout)["batches"]
    assert [b["status"] for b in listed] == ["claimed", "exported"]


def test_what_is_asked_wrongly_is_refused(outreach: Command) -> None:
    outreach("export", "--format", "xlsx", code=2)
    outreach("export", "--batch-size", "0", code=2)
    outreach("export", "--type", "dog", code=2)
