"""What every store promises of uploads in parts (b2_resources/part_uploads.py), as tests."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from b2_resources.build_store import part_uploads_of
from b2_resources.hybrid_store import HybridStore
from b2_resources.local_parts import LocalParts
from b2_resources.object_store import ObjectMissingError, ObjectStore, get_bytes
from b2_resources.part_uploads import (
    PartPlan,
    PartsGoneError,
    PartUploads,
    missing_parts,
    planned,
)
from b2_resources.s3_signing import S3Signing
from b2_resources.s3_store import S3Store
from outreach_core.errors import PermanentError

KEY = "users/anna/tasks/t/inputs/primary.csv"
SendPart = Callable[[str, int, bytes], str]


@pytest.fixture
def parts(store: ObjectStore) -> PartUploads:
    return part_uploads_of(store)


@pytest.fixture
def send(store: ObjectStore, parts: PartUploads, tmp_path: Path) -> SendPart:
    """Sends a part as its sender does, and gives the ETag that was answered."""
    if isinstance(parts, LocalParts):
        local = parts

        def put(upload_id: str, number: int, body: bytes) -> str:
            path, md5 = (
                tmp_path / f"part-{number}-{body!r}",
                hashlib.md5(body, usedforsecurity=False).hexdigest(),
            )
            path.write_bytes(body)
            local.put_part(KEY, upload_id, number, path, md5=md5)
            return md5

        return put
    far = store.far if isinstance(store, HybridStore) else store
    assert isinstance(far, S3Store)
    signing = S3Signing(far.client.config)

    def put_signed(upload_id: str, number: int, body: bytes) -> str:
        signed = signing.sign_part(
            KEY, upload_id, number, size_bytes=len(body), valid_for=timedelta(minutes=15)
        )
        answer = requests.put(signed.url, data=body, headers=signed.headers, timeout=60)
        if answer.status_code == 404:
            raise PartsGoneError("gone")
        assert answer.status_code == 200, answer.text
        return answer.headers["etag"].strip('"')

    return put_signed


def test_parts_in_any_order_are_the_object_and_nothing_before(
    store: ObjectStore, parts: PartUploads, send: SendPart
) -> None:
    upload_id = parts.begin(KEY, content_type="text/csv")
    assert parts.arrived(KEY, upload_id) == []
    etags = {number: send(upload_id, number, body) for number, body in ((3, b"g"), (1, b"abc"))}
    arrived = parts.arrived(KEY, upload_id)
    assert [(p.number, p.size_bytes, p.etag) for p in arrived] == [
        (1, 3, etags[1]),
        (3, 1, etags[3]),
    ]
    with pytest.raises(ObjectMissingError):
        store.head(KEY)
    send(upload_id, 2, b"def")
    parts.complete(KEY, upload_id, parts.arrived(KEY, upload_id))
    assert (get_bytes(store, KEY), store.head(KEY).content_type) == (b"abcdefg", "text/csv")
    assert [found.key for found in store.list_objects()] == [KEY]


def test_a_part_sent_twice_is_there_once_and_the_later_counts(
    store: ObjectStore, parts: PartUploads, send: SendPart
) -> None:
    upload_id = parts.begin(KEY, content_type="text/csv")
    # Other bytes are refused by rclone, which has passed the first on; B2 takes the later.
    for body in (b"old", b"abc", b"old", b"new") if isinstance(parts, LocalParts) else [b"new"] * 2:
        send(upload_id, 1, body)
    (one,) = parts.arrived(KEY, upload_id)
    assert one.etag == hashlib.md5(b"new", usedforsecurity=False).hexdigest()
    parts.complete(KEY, upload_id, [one])
    assert get_bytes(store, KEY) == b"new"


def test_what_was_completed_or_aborted_is_gone(parts: PartUploads, send: SendPart) -> None:
    done = parts.begin(KEY, content_type="text/csv")
    send(done, 1, b"abc")
    sent = parts.arrived(KEY, done)
    parts.complete(KEY, done, sent)
    assert parts.abort_all(KEY) == 0
    left = [parts.begin(KEY, content_type="text/csv") for _ in range(2)]
    send(left[0], 1, b"abc")
    other = parts.begin("other", content_type="text/csv")
    assert parts.abort_all(KEY) == 2
    for upload_id in (done, *left, "0" * 73, "../../x"):
        for gone in (
            lambda: parts.arrived(KEY, upload_id),  # noqa: B023 called at once
            lambda: parts.complete(KEY, upload_id, sent),  # noqa: B023
        ):
            with pytest.raises(PartsGoneError):
                gone()
    with pytest.raises(PartsGoneError):
        send(left[0], 2, b"late")
    with pytest.raises(PartsGoneError):
        parts.arrived(KEY, other)
    assert parts.arrived("other", other) == []
    assert parts.abort_all("other") == 1


def test_another_process_goes_on(store: ObjectStore, parts: PartUploads, send: SendPart) -> None:
    upload_id = parts.begin(KEY, content_type="text/csv")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: send(upload_id, n, b"%03d" % n), range(1, 13)))
    again = part_uploads_of(store)
    again.complete(KEY, upload_id, again.arrived(KEY, upload_id))
    assert get_bytes(store, KEY) == b"".join(b"%03d" % n for n in range(1, 13))


def test_a_plan_stays_within_what_a_provider_takes() -> None:
    plan = planned(10, 4, 10_000)
    assert [plan.size_of(n) for n in range(1, plan.count + 1)] == [4, 4, 2]
    assert planned(5 * 1024**3, 1024**2, 1000).count <= 1000
    assert planned(8, 4, 10_000) == PartPlan(size_bytes=8, part_bytes=4)
    assert missing_parts(plan, []) == [1, 2, 3]
    for number in (0, -1, 4):
        with pytest.raises(PermanentError, match="no part"):
            plan.size_of(number)
