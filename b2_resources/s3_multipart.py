"""Large files in parts: begun, sent several at once, completed or aborted. And what others left.

A part is tried again by itself. The memory in use is bounded for the whole store, however many
files go up at once.
"""

import base64
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

from b2_resources.meter import Charge
from b2_resources.object_store import ObjectCorruptError, StoreUnreachableError
from b2_resources.part_uploads import ArrivedPart
from b2_resources.s3_client import Got, S3Client
from b2_resources.s3_headers import SHA256
from b2_resources.s3_signature import UNSIGNED
from b2_resources.s3_wire import Ask
from outreach_core.errors import OutreachError

PART_BYTES = 8 * 1024 * 1024
COPY_BYTES = 5 * 1024**3
"""The largest object one COPY request takes."""
COPY_PART_BYTES = 1024**3
PARTS_AT_ONCE = 4
"""Of one file."""
PARTS_IN_MEMORY = 6
"""Of all files of a store."""
FILES_AT_ONCE = 4
PART_ATTEMPTS = 3
"""How often a part that arrived as another is sent again. Errors are retried below this."""


class UploadGoneError(StoreUnreachableError):
    """The server no longer knows the upload: aborted by somebody, or lost by the server."""


@dataclass(frozen=True, kw_only=True)
class OpenUpload:
    """An upload in parts that nobody has completed or aborted yet; its parts are billed."""

    key: str
    upload_id: str
    begun_at: datetime


class Slots:
    """How many files and parts of one store may be under way."""

    def __init__(self) -> None:
        self.files = threading.BoundedSemaphore(FILES_AT_ONCE)
        self.parts = threading.BoundedSemaphore(PARTS_IN_MEMORY)


def part_bytes_for(size_bytes: int, max_parts: int) -> int:
    """The size of the parts of a file, so that their number stays in the provider's limit."""
    return max(PART_BYTES, -(-size_bytes // max_parts))


def put_in_parts(
    client: S3Client, key: str, parts: Iterable[bytes], headers: Mapping[str, str], slots: Slots
) -> bool:
    """Send the parts and complete. False when the server's ETag does not prove the whole.

    When the parts raise, or anything fails, the upload is aborted and the error passes through;
    after UploadGoneError the whole may be sent again.
    The last writer of a key wins: an upload of it that is still open is aborted first, because it
    is nearly always what a killed run has left.
    """
    for left in open_uploads(client, key):
        if left.key == key:
            abort(client, left)
    upload_id = begin_upload(client, key, headers)
    try:
        digests = list(_sent(client, key, upload_id, parts, slots))
        etag = _complete(client, key, upload_id, [d.hex() for d in digests], headers)
    except BaseException:  # also on Ctrl-C: parts that stay are billed
        with suppress(OutreachError):
            _abort(client, key, upload_id)
        raise
    return etag == multipart_etag(digests)


def copy_in_parts(
    client: S3Client, source: str, key: str, size_bytes: int, headers: Mapping[str, str]
) -> None:
    """What one COPY request is too small for. Aborted when it fails."""
    upload_id = begin_upload(client, key, headers)
    try:
        starts = range(0, size_bytes, COPY_PART_BYTES)
        etags = []
        for number, start in enumerate(starts, 1):
            end = min(start + COPY_PART_BYTES, size_bytes) - 1
            of = {"x-amz-copy-source": source, "x-amz-copy-source-range": f"bytes={start}-{end}"}
            query = [("partNumber", str(number)), ("uploadId", upload_id)]
            request = Ask(method="PUT", key=key, query=query, headers=of)
            copied = client.ask(request, charge=Charge.LIST)
            etags.append(_text(ET.fromstring(copied.body), "ETag").strip('"'))  # noqa: S314 expat refuses bombs
        _complete(client, key, upload_id, etags, headers)
    except BaseException:
        with suppress(OutreachError):
            _abort(client, key, upload_id)
        raise


def begin_upload(client: S3Client, key: str, headers: Mapping[str, str]) -> str:
    """The id of a new upload, whose object will have these headers."""
    request = Ask(method="POST", key=key, query=[("uploads", "")], headers=headers)
    begun = client.ask(request, charge=Charge.FREE)
    return _text(ET.fromstring(begun.body), "UploadId")  # noqa: S314 expat refuses bombs


def multipart_etag(digests: list[bytes]) -> str:
    """What servers answer: the MD5 of the parts' MD5s, and their number."""
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f'"{whole}-{len(digests)}"'


def open_uploads(client: S3Client, prefix: str = "") -> Iterator[OpenUpload]:
    """All uploads in parts below the prefix that are still open."""
    marker: list[tuple[str, str]] = []
    while True:
        query = [("uploads", ""), ("prefix", prefix), *marker]
        request = Ask(method="GET", query=query)
        got = client.ask(request, charge=Charge.LIST, expected=(200, 404))
        if got.status == 404:  # rclone's way of saying that there are none
            return
        answer = ET.fromstring(got.body)  # noqa: S314 expat refuses bombs
        for found in answer.iterfind("{*}Upload"):
            yield OpenUpload(
                key=_text(found, "Key"),
                upload_id=_text(found, "UploadId"),
                begun_at=datetime.fromisoformat(_text(found, "Initiated")),
            )
        if answer.findtext("{*}IsTruncated") != "true":
            return
        marker = [
            ("key-marker", _text(answer, "NextKeyMarker")),
            ("upload-id-marker", _text(answer, "NextUploadIdMarker")),
        ]


def listed_parts(client: S3Client, key: str, upload_id: str) -> list[ArrivedPart] | None:
    """The parts of an upload that have arrived, in order; None when there is no such upload."""
    found: dict[int, ArrivedPart] = {}
    marker: list[tuple[str, str]] = []
    while True:
        request = Ask(method="GET", key=key, query=[("uploadId", upload_id), *marker])
        got = client.ask(request, charge=Charge.LIST, expected=(200, 404))
        if got.status == 404:
            return None
        answer = ET.fromstring(got.body)  # noqa: S314 expat refuses bombs
        for part in answer.iterfind("{*}Part"):
            number = int(_text(part, "PartNumber"))
            found[number] = ArrivedPart(
                number=number,
                size_bytes=int(_text(part, "Size")),
                etag=_text(part, "ETag").strip('"').lower(),
            )
        if answer.findtext("{*}IsTruncated") != "true":
            return [found[number] for number in sorted(found)]
        # The last that was seen, and not what the answer names: rclone names another.
        marker = [("part-number-marker", str(max(found)))]


def abort_stale_uploads(client: S3Client, *, before: datetime, prefix: str = "") -> int:
    """Abort what was begun before that time and never completed; returns how many."""
    stale = [left for left in open_uploads(client, prefix) if left.begun_at < before]
    for left in stale:
        abort(client, left)
    return len(stale)


def abort(client: S3Client, upload: OpenUpload) -> None:
    """Its parts are gone afterwards; one that is gone already is fine."""
    _abort(client, upload.key, upload.upload_id)


def _abort(client: S3Client, key: str, upload_id: str) -> None:
    request = Ask(method="DELETE", key=key, query=[("uploadId", upload_id)])
    client.ask(request, charge=Charge.FREE, expected=(200, 204, 404))


def _sent(
    client: S3Client, key: str, upload_id: str, parts: Iterable[bytes], slots: Slots
) -> Iterator[bytes]:
    """The MD5 of each part, in order, when all have arrived."""
    futures: list[Future[bytes]] = []
    waiting = iter(parts)
    with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part") as pool:
        try:
            while True:
                slots.parts.acquire()
                try:
                    _raise_first(futures)
                    part = next(waiting, None)
                    if part is None:
                        break
                    future = pool.submit(_send_part, client, key, upload_id, len(futures) + 1, part)
                    part = None  # the thread's alone, and freed by it
                except BaseException:
                    slots.parts.release()
                    raise
                future.add_done_callback(lambda _: slots.parts.release())
                futures.append(future)
            slots.parts.release()
            yield from [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def _raise_first(futures: list[Future[bytes]]) -> None:
    for future in futures[-PARTS_AT_ONCE * 2 :]:
        if future.done():
            future.result()


def _send_part(client: S3Client, key: str, upload_id: str, number: int, part: bytes) -> bytes:
    digest = hashlib.md5(part, usedforsecurity=False)
    request = Ask(
        method="PUT",
        key=key,
        query=[("partNumber", str(number)), ("uploadId", upload_id)],
        headers={"content-md5": base64.b64encode(digest.digest()).decode()},
        body=part,
        sha256=UNSIGNED,  # the MD5 is what server and we prove it by
    )
    for _ in range(PART_ATTEMPTS):
        got = client.ask(request, charge=Charge.FREE, expected=(200, 404))
        if got.status == 404:
            raise _gone(client, key)
        if got.headers.get("etag", "").strip('"') == digest.hexdigest():
            return digest.digest()
    raise ObjectCorruptError(f"{client.place_of(key)}: part {number} arrived as another each time")


def send_complete(
    client: S3Client, key: str, upload_id: str, etags: Sequence[tuple[int, str]]
) -> Got:
    """Ask for the object of these parts, by number and ETag: 200, or 404 for no such upload."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in etags
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    request = Ask(
        method="POST",
        key=key,
        query=[("uploadId", upload_id)],
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
    )
    return client.ask(request, charge=Charge.FREE, expected=(200, 404))


def _complete(
    client: S3Client, key: str, upload_id: str, etags: list[str], headers: Mapping[str, str]
) -> str | None:
    """The ETag of the object that the parts have become."""
    trouble: OutreachError = _gone(client, key)
    try:
        got = send_complete(client, key, upload_id, list(enumerate(etags, 1)))
        if got.status == 200:
            return _text(ET.fromstring(got.body), "ETag")  # noqa: S314 expat refuses bombs
    except StoreUnreachableError as error:
        trouble = error
    # When the first answer was lost the upload is no more, because it has become the object.
    head = client.ask(Ask(method="HEAD", key=key), charge=Charge.READ, expected=(200, 404))
    if head.headers.get(SHA256) != headers[SHA256]:
        raise trouble
    return head.headers.get("etag")


def _gone(client: S3Client, key: str) -> UploadGoneError:
    return UploadGoneError(f"{client.place_of(key)}: the upload is gone there; put it again")


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
