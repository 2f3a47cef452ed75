"""What S3Store makes of a bad day: every fault of the proxy, one by one and all together."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from b2_resources.meter import Traffic
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
    Upload,
    get_bytes,
    put_files,
)
from b2_resources.s3_multipart import abort_stale_uploads, open_uploads
from b2_resources.s3_store import S3Store
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

BODY = os.urandom(300_000)
LARGE = 20 * 1024 * 1024 + 7
PASSING = [Fault.ERROR_500, Fault.RESET, Fault.LOST_ANSWER, Fault.HANG, Fault.SLOW]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def proxy(server: RcloneS3) -> Iterator[FaultProxy]:
    with FaultProxy(server) as running:
        yield running


@pytest.fixture
def store(proxy: FaultProxy) -> S3Store:
    return store_of(proxy)


def store_of(proxy: FaultProxy, **changes: object) -> S3Store:
    return S3Store(replace(proxy.config(), **{"answer_seconds": 0.5, **changes}))


@pytest.mark.parametrize("fault", PASSING)
def test_a_put_gets_through(store: S3Store, proxy: FaultProxy, fault: Fault) -> None:
    proxy.script("PUT", "/put", fault)
    assert store.put_bytes("put", BODY).sha256 == hashlib.sha256(BODY).hexdigest()
    assert get_bytes(store, "put") == BODY
    assert proxy.faults == {fault: 1}


@pytest.mark.parametrize("fault", [*PASSING, Fault.TRUNCATE, Fault.FLIP_DOWN])
def test_a_get_gets_through(
    store: S3Store, proxy: FaultProxy, fault: Fault, tmp_path: Path
) -> None:
    store.put_bytes("get", BODY)
    proxy.script("GET", "/get", fault)
    store.get_file("get", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BODY
    assert proxy.faults == {fault: 1}


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_everything_else_gets_through(store: S3Store, proxy: FaultProxy, fault: Fault) -> None:
    store.put_bytes("else/1", BODY)
    store.head("else/1")
    for method, path in [("HEAD", "/else/1"), ("GET", "list-type"), ("PUT", "/else/2")]:
        proxy.script(method, path, fault)
    proxy.script("DELETE", "/else/1", fault)
    assert store.head("else/1").size_bytes == len(BODY)
    store.copy("else/1", "else/2")
    store.delete("else/1")
    assert [o.key for o in store.list_objects("else/")] == ["else/2"]
    assert proxy.faults == {fault: 4}


def test_a_lost_answer_does_not_make_a_second_version(store: S3Store, proxy: FaultProxy) -> None:
    proxy.script("PUT", "/once", Fault.LOST_ANSWER)
    store.put_bytes("once", BODY, metadata={"a": "ü"})
    assert proxy.count("PUT", "/once") == 1
    assert [v.key for v in proxy.personality.versions] == ["once"]


def test_other_bytes_there_are_replaced_after_a_lost_request(
    store: S3Store, proxy: FaultProxy
) -> None:
    store.put_bytes("replaced", b"other")
    proxy.script("PUT", "/replaced", Fault.RESET)
    store.put_bytes("replaced", BODY)
    assert get_bytes(store, "replaced") == BODY


def test_a_byte_flipped_on_the_way_up_is_sent_again(store: S3Store, proxy: FaultProxy) -> None:
    proxy.script("PUT", "/flipped", Fault.FLIP_UP, Fault.FLIP_UP)
    store.put_bytes("flipped", BODY)
    assert get_bytes(store, "flipped") == BODY
    assert proxy.faults == {Fault.FLIP_UP: 2}


def test_bytes_that_never_come_right_are_not_accepted(
    store: S3Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    store.put_bytes("wrong", BODY)
    proxy.rates = {Fault.FLIP_DOWN: 1}
    with pytest.raises(ObjectCorruptError, match="wrong"):
        store.get_file("wrong", tmp_path / "out")
    with pytest.raises(ObjectCorruptError, match="wrong"):
        get_bytes(store, "wrong")
    assert not (tmp_path / "out").exists()


def test_a_stream_goes_on_where_it_broke_off(store: S3Store, proxy: FaultProxy) -> None:
    store.put_bytes("broken", BODY)
    proxy.script("GET", "/broken", Fault.TRUNCATE, Fault.TRUNCATE)
    assert get_bytes(store, "broken") == BODY
    proxy.script("GET", "/broken", Fault.TRUNCATE)
    assert b"".join(store.stream("broken", start=10, end=200_000)) == BODY[10:200_000]
    assert store.meter.read().received_bytes < 2 * len(BODY)


def test_retry_after_is_honoured(store: S3Store, proxy: FaultProxy) -> None:
    proxy.script("PUT", "/slow", Fault.SLOW_DOWN)
    store.put_bytes("slow", b"1")
    first, second = (seen.at for seen in proxy.seen)
    assert second - first >= proxy.retry_after_seconds


def test_connections_are_used_again(store: S3Store, proxy: FaultProxy) -> None:
    store.put_bytes("again", BODY)
    store.put_bytes("again", b"")
    store.head("again")
    get_bytes(store, "again")
    list(store.list_objects("again"))
    store.delete("again")
    assert proxy.connections == 1


def test_after_an_error_of_the_server_another_connection_is_used(
    store: S3Store, proxy: FaultProxy
) -> None:
    store.put_bytes("pod", b"1")
    proxy.script("PUT", "/pod", Fault.ERROR_500)
    store.put_bytes("pod", b"2")
    assert proxy.connections == 2


def test_patience_ends(proxy: FaultProxy) -> None:
    store = store_of(proxy, patience_seconds=0.3)
    proxy.rates = {Fault.ERROR_500: 1}
    with pytest.raises(StoreUnreachableError, match="try another pod"):
        store.put_bytes("never", b"1")
    proxy.rates = {Fault.HANG: 1}
    with pytest.raises(StoreUnreachableError, match=r"s3://.*never"):
        store.head("never")


def test_a_refusal_is_not_tried_again(store: S3Store, proxy: FaultProxy) -> None:
    with pytest.raises(ObjectMissingError):
        store.get_file("no/such", Path("unused"))
    assert len(proxy.seen) == 1
    with pytest.raises(StoreRefusedError, match="master key"):
        store_of(proxy, key_id="0123456789ab").put_bytes("k", b"1")
    assert len(proxy.seen) == 2


def a_large_file(folder: Path) -> Path:
    path = folder / "large"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "part_of_path", "fault"),
    [
        ("POST", "uploads", Fault.ERROR_500),
        ("PUT", "partNumber=2", Fault.RESET),
        ("PUT", "partNumber=1", Fault.FLIP_UP),
        ("PUT", "partNumber=3", Fault.LOST_ANSWER),
        ("PUT", "partNumber=2", Fault.HANG),
        ("POST", "uploadId", Fault.LOST_ANSWER),
        ("POST", "uploadId", Fault.ERROR_500),
    ],
)
def test_a_large_put_gets_through(
    proxy: FaultProxy, tmp_path: Path, method: str, part_of_path: str, fault: Fault
) -> None:
    store = store_of(proxy, answer_seconds=3)
    path = a_large_file(tmp_path)
    proxy.script(method, part_of_path, fault)
    store.put_file("large", path, metadata={"n": "1"})
    store.get_file("large", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert proxy.faults == {fault: 1}
    assert proxy.count("POST", "uploads") <= 2
    assert list(open_uploads(store.client)) == []


def test_a_large_put_that_fails_is_aborted(proxy: FaultProxy, tmp_path: Path) -> None:
    store = store_of(proxy, patience_seconds=0.3)
    proxy.script("PUT", "partNumber=2", *[Fault.ERROR_500] * 50)
    with pytest.raises(StoreUnreachableError):
        store.put_file("aborted", a_large_file(tmp_path))
    assert proxy.count("DELETE", "uploadId") == 1
    assert list(open_uploads(store.client)) == []


KILLED = """
import sys
from pathlib import Path
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
endpoint, key_id, secret, path = sys.argv[1:]
config = S3Config(endpoint=endpoint, region="us-west-004", key_id=key_id,
                  application_key=secret, bucket="outreach-test")
S3Store(config).put_file("killed", Path(path))
"""


def test_what_a_killed_upload_left_is_gone_after_the_next(
    store: S3Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    path = a_large_file(tmp_path)
    proxy.script("PUT", "partNumber=2", Fault.HANG)
    server = proxy.server
    arguments = [proxy.endpoint, server.key_id, server.application_key, str(path)]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as run:
        until = datetime.now(UTC) + timedelta(seconds=60)
        while not proxy.faults[Fault.HANG] or proxy.count("PUT", "partNumber") < 3:
            assert run.poll() is None
            assert datetime.now(UTC) < until
        run.kill()
    assert [left.key for left in open_uploads(store.client)] == ["killed"]
    store.put_file("killed", path)
    assert list(open_uploads(store.client)) == []


def test_stale_uploads_are_aborted(store: S3Store, proxy: FaultProxy) -> None:
    from b2_resources.meter import Charge  # noqa: PLC0415
    from b2_resources.s3_wire import Ask  # noqa: PLC0415

    store.client.ask(Ask(method="POST", key="stale", query=[("uploads", "")]), charge=Charge.FREE)
    hour = timedelta(hours=1)
    assert abort_stale_uploads(store.client, before=datetime.now(UTC) - hour) == 0
    assert abort_stale_uploads(store.client, before=datetime.now(UTC) + hour) == 1
    assert list(open_uploads(store.client)) == []


def test_requests_and_bytes_are_counted(store: S3Store, proxy: FaultProxy) -> None:
    heard: list[int] = []
    proxy.script("PUT", "/counted", Fault.ERROR_500)
    with store.meter.watched_by(heard.append):
        store.put_bytes("counted", BODY)
    store.head("counted")
    list(store.list_objects("counted"))
    get_bytes(store, "counted")
    store.delete("counted")
    assert store.meter.read() == Traffic(
        class_a=3,
        class_b=2,
        class_c=1,
        retried=1,
        sent_bytes=2 * len(BODY),
        received_bytes=len(BODY),
    )
    assert sum(heard) == 2 * len(BODY)
    assert store.meter.read().requests == len(proxy.seen)


BAD_DAY = {Fault.ERROR_500: 0.3, Fault.RESET: 0.05, Fault.LOST_ANSWER: 0.05, Fault.HANG: 0.02}


@pytest.mark.parametrize(
    "uploads", [60, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_on_a_bad_day_all_arrive(proxy: FaultProxy, tmp_path: Path, uploads: int) -> None:
    store = store_of(proxy, answer_seconds=2)
    files = [
        Upload(key=f"day{uploads}/{n:03}", path=tmp_path / f"{n}", metadata={"n": str(n)})
        for n in range(uploads)
    ]
    for upload in files:
        upload.path.write_bytes(os.urandom(500 + len(upload.key)))
    proxy.rates = BAD_DAY
    put_files(store, files)
    proxy.rates = {}
    assert len(proxy.seen) <= 2.5 * uploads
    assert [o.key for o in store.list_objects(f"day{uploads}/")] == [u.key for u in files]
    for upload in files:
        assert get_bytes(store, upload.key) == upload.path.read_bytes()


@pytest.mark.slow
def test_2500_keys_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "outreach-test" / "many"
    folder.mkdir(parents=True)
    for number in range(2500):
        (folder / f"{number:04}").touch()
    with RcloneS3(tmp_path) as server:
        store = S3Store(server.config())
        listed = [o.key for o in store.list_objects("many/")]
    assert listed == [f"many/{n:04}" for n in range(2500)]
    assert store.meter.read().class_c == 3


def test_a_copy_too_large_for_one_request_is_made_in_parts(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(proxy, answer_seconds=5)
    monkeypatch.setattr("b2_resources.s3_multipart.COPY_BYTES", 1)
    monkeypatch.setattr("b2_resources.s3_multipart.COPY_PART_BYTES", 8_000_000)
    path = a_large_file(tmp_path)
    put = store.put_file("copied/from", path, metadata={"a": "ü"})
    proxy.personality.copies_whole = False
    store.copy("copied/from", "copied/to")
    store.get_file("copied/to", tmp_path / "out")
    head = store.head("copied/to")
    assert (head.sha256, head.metadata) == (put.sha256, {"a": "ü"})
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


def test_keys_that_are_none_of_ours_are_listed(store: S3Store, proxy: FaultProxy) -> None:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<Size>1</Size></Contents>"
        for key in ("a%2F%2Fb", "c%2F..%2Fd", "e%0Af", "g+h%2B", "i%2F")
    )
    proxy.personality.listing = (
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        f"{entries}</ListBucketResult>"
    ).encode()
    keys = [found.key for found in store.list_objects()]
    assert keys == ["a//b", "c/../d", "e\nf", "g h+", "i/"]


def test_the_environment_of_aws_changes_nothing(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "https://elsewhere.test",
        "AWS_REGION": "mars-1",
        "AWS_CHECKSUM_ALGORITHM": "SHA256",
        "AWS_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = store_of(proxy)
    store.put_bytes("environment", BODY)
    assert get_bytes(store, "environment") == BODY
