"""Presigned URLs, tried on a real server through B2's personality."""

from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from b2_resources.object_store import get_bytes
from b2_resources.s3_signing import S3Signing
from b2_resources.s3_store import S3Store
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import RcloneS3

HOUR = timedelta(hours=1)
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as server, FaultProxy(server) as running:
        yield running


def asked(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_signed_upload_takes_what_was_said_and_nothing_else(proxy: FaultProxy) -> None:
    signed = S3Signing(proxy.config()).sign_upload(
        "in/ü b.csv", content_type="text/csv", size_bytes=3, valid_for=HOUR
    )
    assert asked("PUT", signed.url, b"toolong", CSV)[0] == 403
    assert asked("PUT", signed.url, b"abc", {"content-type": "text/html"})[0] == 403
    assert asked("PUT", signed.url.replace("in/", "on/"), b"abc", CSV)[0] == 403
    assert asked("GET", signed.url)[0] == 403
    assert asked("PUT", signed.url, b"abc", CSV)[0] == 200
    assert get_bytes(S3Store(proxy.config()), "in/ü b.csv") == b"abc"


def test_a_signed_download_gives_the_object(proxy: FaultProxy) -> None:
    S3Store(proxy.config()).put_bytes("out.csv", b"abc")
    url = S3Signing(proxy.config()).sign_download("out.csv", valid_for=HOUR, filename="ü.csv")
    assert asked("GET", url) == (200, b"abc")
    assert asked("PUT", url, b"x")[0] == 403
