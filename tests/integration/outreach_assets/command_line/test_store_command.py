"""`outreach store` as people type it: on a folder, on a bucket, and from one to the other."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outreach_assets.command_line.main import app
from outreach_core.audit import EventFilter, latest_events
from outreach_core.postgres import Postgres
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import RcloneS3

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as server, FaultProxy(server) as running:
        yield running


@pytest.fixture
def outreach(
    proxy: FaultProxy, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    bucket = f"b{abs(hash(tmp_path)):x}"
    proxy.server.make_bucket(bucket)
    config = proxy.config(bucket)
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    for name in ("endpoint", "region", "key_id", "application_key", "bucket"):
        monkeypatch.setenv(f"B2_{name.upper()}", getattr(config, name))

    def run(*words: str, mode: str = "local", code: int = 0) -> Result:
        monkeypatch.setenv("STORAGE_MODE", mode)
        result = CliRunner().invoke(app, ["store", *words])
        assert result.exit_code == code, (result.output, result.exception)
        assert config.application_key not in result.output
        return result

    return run


def told(postgres: Postgres) -> list[tuple[str, object]]:
    """The commands' events, the oldest first, and how many objects each was about."""
    with postgres.connect() as connection:
        found = latest_events(connection, EventFilter(), limit=99)
    counts = {e.event_type: e.details for e in found if e.details and "who" in e.details}
    return [
        (name.removeprefix("outreach_"), details.get("moved", details.get("rules")))
        for name, details in reversed(counts.items())
        if name.endswith(("store_migrated", "bucket_set_up", "store_reconciled"))
    ]


@pytest.mark.parametrize("mode", ["local", "s3", "hybrid"])
def test_a_file_goes_up_and_down_and_away(outreach: Command, tmp_path: Path, mode: str) -> None:
    (tmp_path / "a b.txt").write_text("hello")
    outreach("put", str(tmp_path / "a b.txt"), "in/", mode=mode)
    listed = json.loads(outreach("ls", "in/", "--json", mode=mode).output)
    assert [(o["key"], o["bytes"]) for o in listed["objects"]] == [("in/a b.txt", 5)]
    outreach("get", "in/a b.txt", str(tmp_path / "out"), mode=mode)
    assert (tmp_path / "out").read_text() == "hello"
    assert outreach("url", "in/a b.txt", mode=mode).output.startswith("http://127.0.0.1:")
    outreach("rm", "--prefix", "in/", "--yes", mode=mode)
    assert json.loads(outreach("ls", "--json", mode=mode).output) == {"objects": []}


def test_a_folder_moves_into_a_bucket_and_is_verified(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        outreach("put", str(tmp_path / name), "k/")
    words = ["--from", "local", "--to", "s3", "--json"]
    assert json.loads(outreach("verify", *words, code=1).output)["differences"] == {
        "k/a": "missing",
        "k/b": "missing",
    }
    moved = json.loads(outreach("migrate", *words).output)
    assert (moved["moved"], moved["skipped"], moved["failed"]) == (2, 0, {})
    assert told(postgres) == [("store_migrated", 2)]
    assert json.loads(outreach("migrate", *words).output)["skipped"] == 2
    for how in ("listing", "hash", "bytes"):
        assert json.loads(outreach("verify", *words, "--how", how).output)["differences"] == {}
    assert json.loads(outreach("usage", "--json", mode="s3").output)["objects"] == 2
    assert json.loads(outreach("usage", "--json").output)["month_dollars"] == 0


def test_the_bucket_is_looked_after(
    outreach: Command, postgres: Postgres, proxy: FaultProxy
) -> None:
    assert json.loads(outreach("doctor", "--json", mode="s3").output)["result"] == "ok"
    assert json.loads(outreach("setup", "--json", mode="s3").output)["result"] == "ok"
    assert json.loads(outreach("reconcile", "--json", mode="hybrid").output)["left"] == 0
    assert told(postgres) == [("bucket_set_up", {"lifecycle": "ok", "uploads": "ok"})]
    proxy.personality.denied = {"write"}
    try:
        said = json.loads(outreach("doctor", "--json", mode="s3", code=1).output)
    finally:
        proxy.personality.denied = set()
    assert "the key may not write" in str(said)


def test_wrong_settings_are_told_without_a_network(
    outreach: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B2_KEY_ID", "0123456789ab")
    assert "master key" in outreach("doctor", "--json", mode="s3", code=2).output
