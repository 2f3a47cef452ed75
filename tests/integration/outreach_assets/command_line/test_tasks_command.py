"""`outreach tasks` against the real API; the worker is this test. With Dagster: end_to_end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line import tasks as commands
from outreach_assets.command_line.main import app
from outreach_assets.command_line.part_client import PartSender
from outreach_assets.tools.process_task import process_task
from outreach_core.errors import SettingsError
from outreach_core.postgres import Postgres
from outreach_core.users import add_user
from tests.integration.outreach_assets.tools.task_at_hand import LEADS, TasksAtHand, clock
from tests.servers.outreach_serve import outreach_serve


@pytest.fixture
def tasks(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TasksAtHand]:
    with postgres.connect() as connection:
        added = add_user(connection, "anna", is_operator=False, now=clock())
    home = tmp_path / "home"
    # Nobody listens there: what is not pushed waits for its worker.
    variables = {
        "NEON_CONNECTION_STRING": postgres.url,
        "NEON_SSLMODE": "disable",
        "OUTREACH_UI_URL": "http://127.0.0.1:9",
    }
    with outreach_serve(home, variables) as url:
        monkeypatch.setenv("OUTREACH_API_URL", url)
        monkeypatch.setenv("OUTREACH_API_TOKEN", added.token)
        yield TasksAtHand(postgres=postgres, home=home)


def outreach(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["tasks", *map(str, words)])


def said(*words: str | Path) -> dict[str, Any]:
    result = outreach(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.slow
def test_files_are_handed_in_watched_and_their_results_fetched(
    tasks: TasksAtHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    june, may = tmp_path / "june leads.csv", tmp_path / "may.csv"
    june.write_bytes(LEADS)
    may.write_bytes(LEADS)
    words = ("--tool", "profile-my-data", "--param", "top_values=2")
    task = said("submit", june, "--baseline", may, *words)
    assert (task["status"], task["parameters"]) == ("QUEUED", {"top_values": "2"})
    assert {one["filename"] for one in task["inputs"]} == {"june leads.csv", "may.csv"}
    other = said("submit", june, *words)
    assert said("cancel", other["id"])["status"] == "CANCELLED"
    refused = outreach("cancel", other["id"])
    assert "TASK_NOT_CANCELLABLE" in str(refused.exception)

    assert process_task(tasks.place, task["id"], run_id=None) is not None
    ended = said("status", task["id"], "--wait")
    assert (ended["status"], ended["progress"]) == ("COMPLETED", 100)
    assert [one["id"] for one in said("list", "--status", "COMPLETED")["tasks"]] == [task["id"]]
    assert task["id"] in outreach("list").stdout
    files = said("download", task["id"], "--out", tmp_path / "results")["files"]
    assert {Path(path).name: Path(path).stat().st_size for path in files} == {
        one["name"]: one["size_bytes"] for one in ended["outputs"]
    }

    empty = tmp_path / "empty.csv"
    empty.touch()
    nothing = said("submit", empty, "--tool", "profile-my-data")
    process_task(tasks.place, nothing["id"], run_id=None)
    assert "EMPTY_FILE" in outreach("status", nothing["id"]).stdout

    wrong = outreach("submit", june, "--tool", "no-such-tool")
    assert "INVALID_TOOL_ID" in str(wrong.exception)
    monkeypatch.setenv("OUTREACH_API_TOKEN", "of nobody")
    unknown = outreach("list")
    assert isinstance(unknown.exception, SettingsError)
    assert "OUTREACH_API_TOKEN" in str(unknown.exception)


@pytest.mark.slow
def test_an_upload_that_was_broken_off_is_gone_on_with(
    tasks: TasksAtHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = tmp_path / "leads.csv"
    leads.write_bytes(LEADS)
    monkeypatch.setattr(commands, "LARGE_BYTES", 10)
    broken = PartSender._put_part
    monkeypatch.setattr(PartSender, "_put_part", interrupted)
    stopped = outreach("submit", leads, "--tool", "profile-my-data")
    assert stopped.exit_code != 0
    (task,) = said("list")["tasks"]
    assert f"outreach tasks resume {task['id']} FILE" in stopped.stderr
    monkeypatch.setattr(PartSender, "_put_part", broken)
    other = tmp_path / "other.csv"
    other.write_bytes(LEADS + b"x")
    assert "were announced" in str(outreach("resume", task["id"], other).exception)
    assert said("resume", task["id"], leads)["status"] == "QUEUED"
    ended = process_task(tasks.place, task["id"], run_id=None)
    assert ended is not None
    assert ended.task.status == "COMPLETED"


def interrupted(*_part: object) -> str:
    raise KeyboardInterrupt


def test_without_a_token_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTREACH_API_TOKEN", raising=False)
    assert "OUTREACH_API_TOKEN is not set" in str(outreach("list").exception)


def test_an_api_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTREACH_API_TOKEN", "any")
    monkeypatch.setenv("OUTREACH_API_URL", "http://127.0.0.1:9")
    assert "OUTREACH_API_URL http://127.0.0.1:9" in str(outreach("list").exception)
