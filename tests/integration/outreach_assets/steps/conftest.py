"""Every kind of store, fresh and empty for each test."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.s3_store import S3Store
from tests.servers.rclone_s3 import RcloneS3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    server: RcloneS3 = request.getfixturevalue("s3_server")
    bucket = f"b{secrets.token_hex(6)}"
    server.make_bucket(bucket)
    return S3Store(server.config(bucket))
