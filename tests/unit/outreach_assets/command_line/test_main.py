"""The command before any service is asked: its help, and what starting it imports."""

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer.main
from typer.testing import CliRunner

from outreach_assets.command_line.main import app

HEAVY = "dagster duckdb requests boto3 botocore urllib3 pandas pyarrow psycopg pydantic".split()
HEAVY += ["fastapi", "uvicorn"]


def words_of_every_command() -> Iterator[list[str]]:
    def below(command: click.Command, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name, sub in getattr(command, "commands", {}).items():
            yield from below(sub, [*words, name])

    yield from below(typer.main.get_command(app), [])


COMMANDS = list(words_of_every_command())


def test_the_commands_are_found() -> None:
    assert ["doctor"] in COMMANDS
    assert ["db", "sample"] in COMMANDS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_needs_no_setting(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_MODE", "wrong")
    monkeypatch.setenv("NEON_PORT", "wrong")
    monkeypatch.setenv("OUTREACH_HOME", "/dev/null/x")
    shown = CliRunner().invoke(app, [*words, "--help"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert " ".join(["outreach", *words]) in " ".join(shown.output.split("Example")[1].split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_that_reports_can_do_so_in_json(words: list[str]) -> None:
    reports = {
        *("run", "doctor", "db status", "store ls", "alerts list", "rules list"),
        *("snapshots list", "snapshots diff"),
    }
    shown = CliRunner().invoke(app, [*words, "--help"]).output
    assert "--json" in shown or " ".join(words) not in reports


def test_starting_imports_nothing_heavy() -> None:
    program = (
        "import json, sys\n"
        "import outreach_assets.command_line.main\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    assert set(json.loads(ran.stdout)).isdisjoint(HEAVY)
