"""The proxy itself: what it refuses is what B2 refuses, asked by boto3, which is not ours."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import BUCKET, REGION, RcloneS3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as server, FaultProxy(server) as running:
        yield running


@pytest.fixture(scope="module")
def client(proxy: FaultProxy) -> "S3Client":
    return client_of(proxy)


def client_of(proxy: FaultProxy, **changes: str) -> "S3Client":
    checksums = changes.pop("checksums", "when_required")
    return boto3.client(
        "s3",
        endpoint_url=proxy.endpoint,
        aws_access_key_id=changes.get("key_id", proxy.server.key_id),
        aws_secret_access_key=proxy.server.application_key,
        region_name=REGION,
        config=Config(
            signature_version="s3v4",
            retries={"total_max_attempts": 1},
            request_checksum_calculation=checksums,  # type: ignore[arg-type]
            response_checksum_validation=checksums,  # type: ignore[arg-type]
            s3={"addressing_style": "path"},
        ),
    )


REFUSALS: dict[str, tuple[Callable[["S3Client"], object], int]] = {
    "condition": (lambda c: c.put_object(Bucket=BUCKET, Key="k", Body=b"1", IfNoneMatch="*"), 501),
    "tags": (lambda c: c.put_object(Bucket=BUCKET, Key="k", Body=b"1", Tagging="a=b"), 400),
    "tagging": (lambda c: c.get_object_tagging(Bucket=BUCKET, Key="k"), 400),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses_what_b2_refuses(client: "S3Client", name: str) -> None:
    call, status = REFUSALS[name]
    with pytest.raises(ClientError) as refusal:
        call(client)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_it_refuses_checksums_and_master_keys(proxy: FaultProxy) -> None:
    with pytest.raises(ClientError, match="Unsupported header 'x-amz-"):
        client_of(proxy, checksums="when_supported").put_object(Bucket=BUCKET, Key="k", Body=b"1")
    with pytest.raises(ClientError, match="Malformed Access Key Id"):
        client_of(proxy, key_id="0123456789ab").list_buckets()


def test_it_keeps_versions_and_hide_markers(client: "S3Client") -> None:
    client.put_object(Bucket=BUCKET, Key="v", Body=b"one")
    client.put_object(Bucket=BUCKET, Key="v", Body=b"three")
    client.delete_object(Bucket=BUCKET, Key="v")
    listed = client.list_object_versions(Bucket=BUCKET, Prefix="v")
    assert [(v["Size"], v["IsLatest"]) for v in listed["Versions"]] == [(5, False), (3, False)]
    assert [m["IsLatest"] for m in listed["DeleteMarkers"]] == [True]
