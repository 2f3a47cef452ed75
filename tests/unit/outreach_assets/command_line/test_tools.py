"""`outreach tools`: what it writes, where, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line.main import app
from outreach_assets.tools.assignment import ToolLimits
from outreach_core.settings import load_settings

PEOPLE = "unique_id,company_unique_id,email,title\np1,c1,a@b.example,CFO\np2,c1,nope,\n"


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    return path


def outreach(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["tools", *map(str, words)], catch_exceptions=False)


def test_list_shows_every_parameter_with_its_limits() -> None:
    listed = json.loads(outreach("list", "--json").output)["tools"]
    manifests = {tool["id"]: tool for tool in listed}
    assert set(manifests) >= {"profile-my-data", "validate-outreach"}
    parameter = manifests["profile-my-data"]["parameters"]["properties"]["top_values"]
    assert (parameter["default"], parameter["minimum"], parameter["maximum"]) == (10, 1, 50)
    assert parameter["description"]
    schemas = [output["schema"] for output in manifests["profile-my-data"]["outputs"]]
    assert "quality" in schemas[2]["properties"]
    assert "profile-my-data" in outreach("list").output


def test_a_run_writes_into_the_folder_asked_for_and_leaves_nothing_else(people: Path) -> None:
    ran = outreach("run", "validate-outreach", people, "--out", "judged", "--json")
    assert ran.exit_code == 0
    said = json.loads(ran.output)
    assert said["outputs"] == [
        f"judged/{name}" for name in ("bad.csv", "good.csv", "validation_summary.json")
    ]
    assert (said["result"]["good"], said["result"]["bad"]) == (1, 1)
    assert list((people.parent / "home" / "tools").iterdir()) == []


def test_a_profile_goes_beside_the_working_folder(people: Path) -> None:
    ran = outreach(
        *("run", "profile-my-data", people, "--baseline", people, "--param", "top_values=3")
    )
    assert ran.exit_code == 0
    names = {path.name for path in (people.parent / "people-profile-my-data").iterdir()}
    assert names == {f"data_profile_report.{kind}" for kind in ("html", "json", "xlsx")}
    assert "score" in ran.output


@pytest.mark.parametrize(
    ("words", "exit_code", "error_code", "names"),
    [
        (["no-such-tool"], 2, "INVALID_TOOL_ID", "profile-my-data"),
        (["profile-my-data", "--param", "top_values=51"], 2, "INVALID_PARAMETERS", "50"),
        (["profile-my-data", "--param", "colour=red"], 2, "INVALID_PARAMETERS", "colour"),
        (["profile-my-data", "--baseline", "no.csv"], 2, "FILES_NOT_FOUND", "no.csv"),
        (["validate-outreach", "--param", "table=companies"], 1, "MISSING_COLUMNS", "website_url"),
    ],
)
def test_a_refusal_has_a_code_and_a_sentence(
    people: Path, words: list[str], exit_code: int, error_code: str, names: str
) -> None:
    ran = outreach("run", words[0], people, *words[1:], "--json")
    said = json.loads(ran.output)
    assert (ran.exit_code, said["error_code"]) == (exit_code, error_code)
    assert names in said["detail"]
    plain = outreach("run", words[0], people, *words[1:])
    assert plain.exit_code == exit_code
    assert f"({error_code})" in plain.stderr


def test_the_limits_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OUTREACH_TOOL_SECONDS": "7",
        "OUTREACH_TOOL_MEMORY_MB": "600",
        "OUTREACH_DUCKDB_TEMP_GB": "3",
        "OUTREACH_DUCKDB_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert ToolLimits.of(load_settings()) == ToolLimits(
        memory_mb=600, seconds=7, disk_mb=3072, threads=1
    )
