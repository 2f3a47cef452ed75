"""`outreach audit` as people type it, and the events that other commands leave."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line.main import app
from outreach_core.audit import (
    SOURCE,
    VALIDATION_RUN,
    AuditEvent,
    open_log,
    operator,
    write_event,
)
from outreach_core.postgres import Postgres
from tests.tampering import given_days, given_events, tamper

Command = Callable[..., Result]


@pytest.fixture
def outreach(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)

    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


def events(outreach: Command, *words: str) -> list[dict[str, object]]:
    return json.loads(outreach("audit", "list", "--json", *words).output)["events"]


def test_what_a_command_changes_it_tells_once(outreach: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    outreach("store", "put", str(tmp_path / "a.txt"), "in/")
    outreach("store", "rm", "in/a.txt", "in/b.txt")
    outreach("store", "rm", "--prefix", "nothing/", "--yes")
    outreach("store", "ls")
    removed, put, migrated, _ = events(outreach)
    assert {e["details"]["who"] for e in (removed, put, migrated)} == {operator()}  # type: ignore[index]
    assert put["event_type"] == "outreach_object_put"
    assert put["details"]["key"] == "in/a.txt"  # type: ignore[index]
    assert removed["details"]["removed"] == 2  # type: ignore[index]
    assert migrated["event_type"] == "outreach_database_migrated"


def test_a_log_that_cannot_be_asked_keeps_a_command_from_doing_anything(
    outreach: Command, monkeypatch: pytest.MonkeyPatch, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.database("nowhere").url)
    outreach("store", "put", str(tmp_path / "a.txt"), "in/", code=1)
    assert json.loads(outreach("store", "ls", "--json").output) == {"objects": []}


def test_events_are_listed_by_what_is_asked(outreach: Command, postgres: Postgres) -> None:
    given_events(postgres, 3, "mine")
    assert [e["details"]["number"] for e in events(outreach, "--type", "mine", "--limit", "2")] == [  # type: ignore[index]
        3,
        2,
    ]
    assert events(outreach, "--since", "2999-01-01") == []
    assert events(outreach, "--state", "wv", "--run", "r") == []
    assert "mine" in outreach("audit", "list").output


def test_a_release_is_listed_with_who_and_why(
    outreach: Command, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = {"by": "sam@laptop", "because": "agreed with sales", "held_for": []}
    details = {"state": "WV", "status": "published", "released": released}
    with open_log(postgres) as connection:
        write_event(
            connection,
            AuditEvent(event_type=VALIDATION_RUN, event_source=SOURCE, details=details),
        )
    monkeypatch.setenv("COLUMNS", "200")
    assert "released by sam@laptop: agreed with sales" in outreach("audit", "list").output


def test_a_log_is_exported_verified_and_found_altered(
    outreach: Command, postgres: Postgres
) -> None:
    given_events(postgres, 8)
    given_days(postgres, [4, 4])
    days = json.loads(outreach("audit", "export", "--json").output)["days"]
    assert [day["rows"] for day in days] == [4, 4]
    assert "2026-01-02" in outreach("audit", "export", "--day", "2026-01-02").output
    assert "all as they were written" in " ".join(outreach("audit", "verify").output.split())
    tamper(postgres, "DELETE FROM shq.audit_log WHERE chain_position = 6")
    found = json.loads(outreach("audit", "verify", "--json", code=1).output)["breaks"]
    assert [(b["kind"], b["position"]) for b in found] == [("removed", 6)]
    assert "removed" in outreach("audit", "verify", code=1).output
