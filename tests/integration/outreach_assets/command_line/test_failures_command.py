"""`outreach failures list`, `stats` and `repair` as people type them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line.main import app
from outreach_core.errors import SettingsError
from outreach_core.postgres import Postgres
from tests.given import COMPANY_MASTER, a_company, a_person, given_rows, given_sql

Command = Callable[..., Result]
ALLOWED = "OUTREACH_ALLOW_MASTER_WRITES"
LOGGED = """
    INSERT INTO marketing.validation_failures_log
        (company_id, company_name, person_id, person_name, fail_reason, state,
         validation_timestamp, pipeline_id, failure_type)
    VALUES ('c1', '[red]Acme', NULL, NULL, 'Missing website', 'WV',
            '2025-11-18 02:00+02', 'WV-VALIDATION-20251118', 'company'),
           (NULL, NULL, 'p1', 'Ann Lee', 'Missing title', 'WV',
            '2025-11-18 03:00+02', 'WV-VALIDATION-20251118', 'person')"""


@pytest.fixture
def outreach(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, allowed: str = "", raises: type[Exception] | None = None) -> Result:
        monkeypatch.setenv(ALLOWED, allowed)
        result = CliRunner().invoke(app, ["failures", *words])
        raised = None if isinstance(result.exception, SystemExit) else result.exception
        assert type(raised) is (raises or type(None)), raised
        return result

    return run


def industry_and_website(postgres: Postgres) -> list[tuple[str, str | None, str | None]]:
    with postgres.connect() as connection:
        return connection.execute(
            f"SELECT company_unique_id, industry, website_url FROM {COMPANY_MASTER} "
            "ORDER BY 1".encode()
        ).fetchall()


def test_a_repair_is_shown_then_refused_then_written_once(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(postgres, [a_company("c1", website_url=None), a_company("c2", website_url=None)])
    before = industry_and_website(postgres)
    file = tmp_path / "mended.csv"
    file.write_text("company_id,website_url,industry\nc1,a.example,\nc2,,wine\nc9,x,y\n")

    seen = outreach("repair", str(file))
    assert seen.exit_code == 3
    assert "website_url: - → a.example" in seen.output
    assert "Missing website" in seen.output
    assert "1 rows would be written: --apply does it" in seen.output
    assert "not in marketing.company_master" in seen.output
    refused = outreach("repair", str(file), "--apply", raises=SettingsError)
    assert ALLOWED in str(refused.exception)
    assert industry_and_website(postgres) == before

    applied = outreach("repair", str(file), "--apply", "--json", allowed="true")
    assert applied.exit_code == 3
    said = json.loads(applied.output)
    assert (said["applied"], said["written"]) == (True, 1)
    assert said["counts"] == {
        "mended": 1,
        "good": 0,
        "still bad": 1,
        "refused": 1,
        "to write": 1,
    }
    assert industry_and_website(postgres) == [("c1", None, "a.example"), ("c2", None, None)]

    file.write_text("company_id,website_url\nc1,a.example\n")
    again = outreach("repair", str(file), "--apply", allowed="true")
    assert again.exit_code == 0
    assert "nothing to change" in again.output


def test_what_is_personal_is_masked_on_the_screen_and_in_json(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(postgres, people=[a_person("p1", email="ann lee", full_name="Ann Lee")])
    given_sql(postgres, "ALTER TABLE marketing.people_master ADD nickname text")
    file = tmp_path / "mended.csv"
    file.write_text("person_id,email,full_name,nickname\np1,ann@b.example,Ann Leigh,Annie\n")
    for words in ([], ["--json"]):
        seen = outreach("repair", str(file), *words).output
        assert "@b.example" in seen
        for value in ("ann@", "ann lee", "Leigh", "Annie"):
            assert value not in seen


def test_a_cell_cannot_colour_or_command_the_terminal(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    given_rows(postgres, [a_company("c1")])
    file = tmp_path / "mended.csv"
    file.write_text("company_id,industry\nc1,[bold]\x1b[31mwine\n")
    seen = outreach("repair", str(file)).output
    assert "[bold]" in seen
    assert "\x1b" not in seen


def test_the_log_is_listed_and_counted(outreach: Command, postgres: Postgres) -> None:
    given_sql(postgres, LOGGED)
    listed = outreach("list").output
    for shown in ("[red]Acme", "Missing title", "A•••", "2025-11-18 01:00"):
        assert shown in listed
    assert "Ann" not in listed
    said = json.loads(outreach("list", "--type", "company", "--limit", "1", "--json").output)
    assert said["total"] == 1
    assert said["failures"][0]["seen_at"] == "2025-11-18 00:00:00+00:00"
    assert "Missing website" in outreach("stats").output
    counted = json.loads(outreach("stats", "--state", "wv", "--json").output)
    assert counted["by_type"] == {"company": 1, "person": 1}
    assert counted["unexported"]["company"] == {"rows": 1, "since": "2025-11-18 00:00:00+00:00"}
    assert json.loads(outreach("stats", "--state", "OH", "--json").output)["by_state"] == {}


def test_a_file_that_is_not_there_is_a_wrong_usage(outreach: Command) -> None:
    assert outreach("repair", "no-such.csv").exit_code == 2
