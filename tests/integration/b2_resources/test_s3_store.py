"""What is S3's own, against a real server: who is let in, and what is said when nobody is."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from b2_resources.object_store import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
)
from b2_resources.s3_store import S3Store
from outreach_core.errors import PermanentError
from tests.servers.rclone_s3 import RcloneS3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


CALLS = {
    "put": lambda store: store.put_bytes("k", b"1"),
    "head": lambda store: store.head("k"),
    "get": lambda store: list(store.stream("k")),
    "range": lambda store: list(store.stream("k", start=1)),
    "list": lambda store: list(store.list_objects("a/")),
    "delete": lambda store: store.delete("k"),
    "copy": lambda store: store.copy("k", "l"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret_is_refused_by_name(server: RcloneS3, call: str) -> None:
    config = replace(server.config(), application_key="K004wrongwrongwrongwrongwrongww")
    with pytest.raises(StoreRefusedError, match="B2_APPLICATION_KEY") as refusal:
        CALLS[call](S3Store(config))
    assert config.application_key not in str(refusal.value)


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_that_is_not_there_is_refused_by_name(server: RcloneS3, call: str) -> None:
    with pytest.raises(StoreRefusedError, match="B2_BUCKET"):
        CALLS[call](S3Store(server.config("no-such-bucket")))


@pytest.mark.parametrize("call", CALLS)
def test_nobody_answering_is_unreachable(server: RcloneS3, call: str) -> None:
    with socket.socket() as bound:  # bound and not listening: refuses every connection
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        store = S3Store(replace(server.config(), endpoint=endpoint, patience_seconds=0.2))
        with pytest.raises(StoreUnreachableError, match="outreach-test"):
            CALLS[call](store)


def test_an_object_of_others_is_missing_before_it_is_there(server: RcloneS3) -> None:
    with pytest.raises(ObjectMissingError):
        S3Store(server.config()).head("never/put")


def test_a_path_that_cannot_be_written_is_named(server: RcloneS3, tmp_path: Path) -> None:
    store = S3Store(server.config())
    store.put_bytes("k", b"1")
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="cannot write"):
        store.get_file("k", tmp_path / "file" / "out")
