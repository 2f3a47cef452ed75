"""What people's scripts call, with the settings they have: a folder, and a bucket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_resources import scripts
from b2_resources.object_store import ObjectMissingError
from outreach_core.errors import SettingsError
from outreach_core.findings import Result
from tests.servers.rclone_s3 import RcloneS3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["local", "s3", "hybrid"])
def mode(
    request: pytest.FixtureRequest,
    server: RcloneS3,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> str:
    config = server.config()
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STORAGE_MODE", request.param)
    if request.param != "local":
        for name in ("endpoint", "region", "key_id", "application_key", "bucket"):
            monkeypatch.setenv(f"B2_{name.upper()}", getattr(config, name))
    return str(request.param)


def test_a_script_gets_by_with_one_call_for_each_thing(mode: str, tmp_path: Path) -> None:
    assert [found.result for found in scripts.check_connection()] == [Result.OK]
    scripts.upload_json("s/a.json", {"name": "ü"})
    scripts.upload_csv("s/b.csv", [{"a": 1, "b": "x,y"}, {"a": None, "b": 'q"'}])
    assert scripts.list_keys("s/") == ["s/a.json", "s/b.csv"]
    assert scripts.download("s/b.csv", tmp_path / "b.csv").content_type == "text/csv"
    assert (tmp_path / "b.csv").read_text() == 'a,b\n1,"x,y"\n,"q"""\n'
    assert b"".join(scripts.stream("s/a.json")) == b'{"name": "\xc3\xbc"}'
    assert scripts.size("s/a.json") == 14
    scripts.delete("s/a.json")
    assert (scripts.exists("s/a.json"), scripts.exists("s/b.csv")) == (False, True)
    with pytest.raises(ObjectMissingError):
        scripts.size("s/a.json")
    scripts.delete("s/b.csv")


def test_the_same_bytes_are_not_put_again(mode: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    store = scripts.open_store()
    first = scripts.upload_file(f"same/{mode}", tmp_path / "f", store)
    again = scripts.upload_file(f"same/{mode}", tmp_path / "f", store)
    assert again.sha256 == first.sha256
    if mode == "s3":
        assert store.meter.read().class_a == 1  # type: ignore[attr-defined]


def test_urls_are_signed_where_the_store_is(mode: str, server: RcloneS3) -> None:
    url = scripts.signed_url("a/b c.csv")
    assert url.startswith("http://127.0.0.1:8000/signed/" if mode == "local" else server.endpoint)
    if mode == "local":
        with pytest.raises(SettingsError, match="needs a bucket"):
            scripts.public_url("a")
    else:
        assert scripts.public_url("a b") == f"{server.endpoint}/outreach-test/a%20b"
