"""`outreach snapshots diff` as people type it, over a folder and over a bucket."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from b2_resources import keys
from b2_resources.build_store import build_store
from outreach_assets.command_line.main import app
from outreach_assets.steps.hold import set_aside
from outreach_assets.steps.upload import Published, publish, settle_exports
from outreach_core.settings import load_settings
from tests.given import Row, a_company, a_person, export_raw
from tests.servers.rclone_s3 import RcloneS3

V1, V2, V3 = "20260504030201", "20260505030201", "20260506030201"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def use_bucket(server: RcloneS3, monkeypatch: pytest.MonkeyPatch) -> None:
    server.make_bucket("snapshots")
    config = server.config("snapshots")
    for name in ("endpoint", "region", "key_id", "application_key", "bucket"):
        monkeypatch.setenv(f"B2_{name.upper()}", getattr(config, name))


def outreach(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["snapshots", *words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def published(
    home: Path, version: str, people: Sequence[Row], states: Sequence[str] = ("WV",)
) -> None:
    companies = [a_company(f"c-{state}", outreach_state=state) for state in states]
    placed = [
        {**person, "unique_id": f"{person['unique_id']}-{state}", "outreach_state": state}
        for state in states
        for person in people
    ]
    manifests = export_raw(home, companies, placed, states=states, version=version)
    store = build_store(load_settings())
    for outcome in publish(store, home / "exports", list(manifests.values())).values():
        assert isinstance(outcome, Published), outcome
        settle_exports(home / "exports", outcome)


GOOD, BAD, EDITED = a_person(), a_person(title=None), a_person(title=None, bio="after")


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_the_newest_snapshot_is_compared_with_the_one_before(
    home: Path, server: RcloneS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    if where == "bucket":
        use_bucket(server, monkeypatch)
    for version, person in ((V1, GOOD), (V2, BAD), (V3, EDITED)):
        published(home, version, [person, a_person("p2")], ("PA", "WV"))
    said = json.loads(outreach("diff", "WV", "--json").output)
    assert said["snapshots"] == [
        {
            "state": "WV",
            "from": V2,
            "to": V3,
            "rows": 1,
            "counts": {"companies": {}, "people": {"changed by data": 1}},
        }
    ]
    out = tmp_path / "new folder" / "changes.parquet"
    words = ["--all", "--from", V1, "--limit", "1", "--out", str(out)]
    said = json.loads(outreach("diff", *words, "--json").output)
    assert [one["counts"]["people"] for one in said["snapshots"]] == [{"broken by data": 1}] * 2
    assert said["changes"] == [
        {
            "outreach_state": "PA",
            "table_name": "people",
            "key": "p1-PA",
            "change": "broken",
            "cause": "data",
            "old_reasons": [],
            "new_reasons": ["title_missing"],
        }
    ]
    listed = duckdb.sql(f"SELECT key FROM '{out}' ORDER BY key").fetchall()
    assert listed == [("p1-PA",), ("p1-WV",)]
    shown = outreach("diff", "WV", "PA", "--to", V2, "--limit", "1").output
    assert "2 keys changed in 2 states" in shown
    assert "title_missing" in shown
    assert "--out FILE.parquet" in shown
    assert not list((home / "spill").iterdir())
    assert len(list((home / "exports").rglob("people_bad_*.parquet"))) == 2


def test_a_state_without_an_earlier_snapshot_is_skipped_only_among_all(home: Path) -> None:
    published(home, V1, [GOOD])
    refused = outreach("diff", "WV", code=1).exception
    assert str(refused).startswith(f"WV has no snapshot before {V1}")
    assert "PA has no snapshot:" in str(outreach("diff", "PA", code=1).exception)
    missing = outreach("diff", "WV", "--from", V2, code=1).exception
    assert f"WV has no snapshot {V2}" in str(missing)
    assert json.loads(outreach("diff", "--all", "--json").output)["snapshots"] == []
    assert "0 keys changed in 0 states" in outreach("diff", "--all").output
    outreach("diff", code=2)
    outreach("diff", "WV", "--all", code=2)


def test_a_file_that_is_not_the_manifest_s_is_refused(home: Path) -> None:
    published(home, V1, [GOOD])
    published(home, V2, [BAD])
    key = keys.snapshot_key("WV", "people", "good", V1)
    build_store(load_settings()).put_bytes(key, b"something else")
    assert key in str(outreach("diff", "WV", code=1).exception)
    assert not list((home / "spill").iterdir())


def test_what_cannot_be_read_of_one_state_hides_no_other(home: Path) -> None:
    for version, person in ((V1, GOOD), (V2, BAD)):
        published(home, version, [person], ("PA", "WI", "WV"))
    store = build_store(load_settings())
    store.put_bytes(keys.manifest_key("PA", V2), b"{}")
    store.put_bytes(keys.snapshot_key("WI", "people", "good", V1), b"something else")
    listed = outreach("list", "--json", code=3)
    assert [one["state"] for one in json.loads(listed.stdout)["snapshots"]] == ["WI", "WV"]
    assert "PA: " in listed.stderr
    assert "is no manifest" in listed.stderr
    of_pa = json.loads(outreach("list", "--state", "PA", "--json", code=3).stdout)["snapshots"]
    assert [one["version"] for one in of_pa] == [V1]
    shutil.rmtree(home / "exports")
    fetched = json.loads(outreach("fetch", "--json", code=3).stdout)["snapshots"]
    assert fetched == {"WI": V2, "WV": V2}
    compared = outreach("diff", "--all", "--json", code=3)
    assert [one["state"] for one in json.loads(compared.stdout)["snapshots"]] == ["WV"]
    assert "WI: " in compared.stderr


def test_what_is_held_is_compared_with_what_is_published(home: Path) -> None:
    published(home, V1, [GOOD, a_person("p2")])
    manifests = export_raw(home, [a_company("c-WV")], [a_person("p1-WV", title=None)], version=V2)
    set_aside(build_store(load_settings()), home / "exports", manifests["WV"], ())
    [said] = json.loads(outreach("diff", "WV", "--held", "--json").stdout)["snapshots"]
    assert (said["from"], said["to"]) == (V1, V2)
    assert said["counts"]["people"] == {"broken by data": 1, "vanished by data": 1}
    assert not list((home / "spill").iterdir())
    assert "nothing of PA is held" in str(outreach("diff", "PA", "--held", code=1).exception)
    assert json.loads(outreach("diff", "--all", "--held", "--json").stdout)["snapshots"] == [said]
    outreach("diff", "WV", "--held", "--to", V1, code=2)
