"""`outreach policies` and `outreach backup`, from the first policy to what is where."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from outreach_assets.command_line.main import app
from outreach_core.destinations import DestinationError
from outreach_core.policies import WrongPolicyError
from outreach_core.postgres import Postgres


@pytest.fixture
def source(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a.txt", "b.tmp"):
        folder.joinpath(name).write_text(name)
    return folder


def outreach(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_a_policy_is_added_run_shown_and_removed(source: Path, tmp_path: Path) -> None:
    added = outreach(
        *("policies", "add", "docs", str(source), "--to", "local"), "--exclude", "*.tmp"
    )
    assert added.output == f"docs: {source} goes to local\n"
    listed = json.loads(outreach("policies", "list", "--json").stdout)["policies"]
    assert [(p["folder_id"], p["exclude"], p["recursive"]) for p in listed] == [
        ("docs", ["*.tmp"], True)
    ]
    ran = outreach("backup", "run", "--json")
    assert ran.exit_code == 0
    (outcome,) = json.loads(ran.stdout)["outcomes"]
    assert (outcome["files"], outcome["synced"], outcome["is_done"]) == (1, 1, True)
    assert tmp_path.joinpath("home/backups/docs/files/a.txt").read_text() == "a.txt"
    (place,) = json.loads(outreach("backup", "status", "--json").stdout)["places"]
    assert (place["folder_id"], place["synced"], place["failed"]) == ("docs", 1, 0)
    assert "docs" in outreach("backup", "status").stdout

    explained = outreach("policies", "explain", str(source / "a.txt")).stdout
    assert "sends it to local" in explained
    assert "leaves it out" in outreach("policies", "explain", str(source / "b.tmp")).stdout
    assert "no enabled policy" in outreach("policies", "explain", "/elsewhere").stdout

    outreach("policies", "set", "docs", "--exclude", "", "--to", "local", "--to", "scaleway")
    partly = outreach("backup", "run")
    assert partly.exit_code == 3
    assert "set OUTREACH_BACKUP_SCALEWAY_BUCKET" in " ".join(partly.output.split())
    assert outreach("backup", "run", "--destination", "local").exit_code == 0
    assert outreach("policies", "toggle", "docs").output == "docs: off\n"
    assert "no enabled policy" in str(outreach("backup", "run").exception)
    assert outreach("policies", "remove", "docs").exit_code == 0
    assert json.loads(outreach("policies", "list", "--json").stdout) == {"policies": []}
    assert tmp_path.joinpath("home/backups/docs/files/b.tmp").exists()


@pytest.mark.slow
def test_what_is_there_is_verified_and_repaired(source: Path, tmp_path: Path) -> None:
    outreach("policies", "add", "docs", str(source), "--to", "local")
    assert outreach("backup", "run").exit_code == 0
    assert outreach("backup", "verify", "--share", "50%").exit_code == 0
    (place,) = json.loads(outreach("backup", "status", "--json").stdout)["places"]
    assert (place["bytes_proven"], place["bytes_share"]) == (1, 0.5)
    there = tmp_path / "home/backups/docs/files"
    for name in ("a.txt", "b.tmp"):
        there.joinpath(name).unlink()
    source.joinpath("b.tmp").unlink()
    found = outreach("backup", "verify", "--all")
    assert found.exit_code == 3
    assert "a.txt is missing: it was there and is no more" in found.output
    left = outreach("backup", "repair", "--policy", "docs", "--to", "local")
    assert left.exit_code == 3
    assert "no other destination has a proven copy" in " ".join(left.output.split())
    assert there.joinpath("a.txt").read_text() == "a.txt"
    verified = outreach("backup", "verify", "--sample", "0", "--json")
    (place,) = json.loads(verified.stdout)["places"]
    assert (place["sound"], place["missing"], place["faults"][0]["path"]) == (1, 1, "b.tmp")
    assert outreach("backup", "verify", "--share", "half").exit_code == 2


def test_a_policy_that_could_not_work_is_refused(source: Path) -> None:
    wrong = outreach("policies", "add", "docs", str(source), "--to", "aws")
    assert isinstance(wrong.exception, DestinationError)
    assert "known are aws_s3, backblaze_b2, scaleway, local" in str(wrong.exception)
    assert isinstance(outreach("policies", "add", "x", str(source)).exception, WrongPolicyError)


def test_destinations_are_listed_with_why_they_cannot_be_used(source: Path, tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(f"[nas]\ntype = alias\nremote = {tmp_path / 'nas'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTREACH_RCLONE_CONFIG", str(config))
        patch.setenv("OUTREACH_BACKUP_REMOTES", "nas:kept,other:")
        found = json.loads(outreach("backup", "destinations", "--json").stdout)["destinations"]
        outreach("policies", "add", "docs", str(source), "--to", "nas")
        assert outreach("backup", "run").exit_code == 0
    assert tmp_path.joinpath("nas/kept/docs/files/a.txt").exists()
    assert found["local"]["problem"] is None
    assert found["nas"]["problem"] is None
    assert "set OUTREACH_BACKUP_AWS_S3_BUCKET" in found["aws_s3"]["problem"]
    assert "didn't find section" in found["other"]["problem"]


@pytest.mark.slow
def test_what_was_backed_up_is_restored_and_drilled(source: Path, tmp_path: Path) -> None:
    assert "nothing is known" in str(outreach("backup", "drill").exception)
    outreach("policies", "add", "docs", str(source), "--to", "local")
    outreach("backup", "run")
    to = str(tmp_path / "back")
    restored = outreach("backup", "restore", "docs", "--to", to)
    assert restored.exit_code == 0
    assert "docs: 2 of 2 files are in" in restored.stdout
    again = json.loads(outreach("backup", "restore", "docs", "--to", to, "--json").stdout)
    assert (again["there"], again["fetched"], again["is_done"]) == (2, {}, True)
    naive = outreach("backup", "restore", "docs", "--to", to, "--at", "2026-11-20T12:00")
    assert naive.exit_code == 2
    assert "with its zone" in naive.output

    assert outreach("backup", "drill").exit_code == 0
    tmp_path.joinpath("home/backups/docs/files/a.txt").write_text("rot")
    failed = outreach("backup", "drill", "--seed", "s", "--json")
    assert failed.exit_code == 3
    assert "failed: docs from local" in failed.stderr
    (result,) = json.loads(failed.stdout)["drills"]
    assert (result["files"], result["restored"], result["seed"]) == (2, 1, "s")
    assert result["bytes_per_second"] > 0
    history = json.loads(outreach("backup", "drills", "--json").stdout)["drills"]
    assert [one["is_passed"] for one in history] == [False, True]
    assert "a.txt: what is there is not" in outreach("backup", "drills").stdout
    assert outreach("backup", "restore", "docs", "--to", to, "--without-database").exit_code == 0
    elsewhere = outreach("backup", "restore", "docs", "--to", str(tmp_path / "elsewhere"))
    assert elsewhere.exit_code == 3
    assert "could not be had anywhere: a.txt" in elsewhere.stdout
