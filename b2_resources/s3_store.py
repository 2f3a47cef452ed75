"""A bucket on Backblaze B2, AWS S3, Scaleway or any other S3 server as an object store.

Each upload is proven: the ETag the server answers is compared with the MD5 of what was read, and
where the server's ETag is no MD5 the bytes are read back. Requests are made and repeated in
s3_client.py; signing URLs, set-up and diagnosis are in files of their own.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from b2_resources import s3_multipart
from b2_resources.files import (
    file_size,
    identity_of,
    proven_blocks,
    read_blocks,
    sha256_of,
    write_whole,
)
from b2_resources.keys import check_key, check_prefix
from b2_resources.meter import Charge
from b2_resources.object_store import (
    BLOCK_BYTES,
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreRefusedError,
    StoreUnreachableError,
)
from b2_resources.proof import check_said, cut, proven
from b2_resources.s3_client import MaybeWorkedError, S3Client
from b2_resources.s3_config import S3Config
from b2_resources.s3_errors import Answer
from b2_resources.s3_headers import headers_of, stored_object, wanted_object
from b2_resources.s3_listing import listed_objects
from b2_resources.s3_multipart import (
    Slots,
    UploadGoneError,
    copy_in_parts,
    part_bytes_for,
    put_in_parts,
)
from b2_resources.s3_wire import Ask, NoAnswerError, Reply

SINGLE_PUT_BYTES = 8 * 1024 * 1024
"""Up to here a file is read once, into memory, and sent in one request."""
PUT_ATTEMPTS = 3
"""How often bytes that arrived as others are sent again. Errors are retried below this."""
READ_ATTEMPTS = 3
"""How often bytes that came as others are asked for into a file."""


class S3Store(ObjectStore):
    """An object store in one bucket. Opens no connection before the first call."""

    def __init__(self, config: S3Config) -> None:
        self.client = S3Client(config)
        self.meter = self.client.meter
        self._config = config
        self._slots = Slots()
        self._bucket_seen = False

    def __repr__(self) -> str:
        return f"S3Store({self._config!r})"

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> StoredObject:
        check_key(key)
        wanted = wanted_object(key, content_type, metadata)
        size_bytes = file_size(path)
        if size_bytes <= SINGLE_PUT_BYTES:
            return self._put_whole(b"".join(read_blocks(path)), wanted, sha256)
        part_bytes = part_bytes_for(size_bytes, self._config.max_parts)
        if sha256:
            wanted = replace(wanted, size_bytes=size_bytes, sha256=sha256)
            return self._put_parts(lambda: proven_blocks(path, part_bytes, sha256), wanted)
        # The hash is metadata, which goes ahead of the first byte of an upload in parts.
        hashed = identity_of(path.stat())
        wanted = replace(wanted, size_bytes=size_bytes, sha256=sha256_of(read_blocks(path)))
        return self._put_parts(lambda: read_blocks(path, part_bytes, hashed=hashed), wanted)

    def put_bytes(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        check_key(key)
        return self._put_whole(bytes(body), wanted_object(key, content_type, metadata), None)

    def get_file(self, key: str, path: Path) -> StoredObject:
        check_key(key)
        for attempt in range(READ_ATTEMPTS):
            reply = self._open(key, 0, None)
            stored = stored_object(key, reply.headers)
            blocks = self._blocks(key, reply, 0, None)
            try:
                write_whole(path, proven(stored, self.place_of(key), blocks))
            except ObjectCorruptError:
                if attempt + 1 == READ_ATTEMPTS:
                    raise
            else:
                return stored
            finally:  # harmless at its end, and needed when the file could not be opened
                reply.close()
        raise AssertionError("the loop returns or raises")

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        check_key(key)
        if end is not None and start >= end:
            return
        reply = self._open(key, start, end)
        if reply.status == 416:  # starts behind the end
            reply.close()
            return
        blocks = self._blocks(key, reply, start, end)
        if start == 0 and end is None:
            blocks = proven(stored_object(key, reply.headers), self.place_of(key), blocks)
        try:
            yield from blocks
        finally:
            reply.close()

    def head(self, key: str) -> StoredObject:
        request = Ask(method="HEAD", key=check_key(key))
        try:
            headers = self.client.ask(request, charge=Charge.READ).headers
        except (ObjectMissingError, StoreRefusedError):
            # The answer to a HEAD has no body: no bucket or no object, which secret is wrong?
            if self._bucket_seen:
                raise
            reply = self._open(key, 0, 1)
            reply.close()
            headers = self.client.ask(request, charge=Charge.READ).headers
        self._bucket_seen = True
        return stored_object(key, headers)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        return listed_objects(self.client, check_prefix(prefix))

    def delete(self, key: str) -> None:
        with suppress(ObjectMissingError):
            self.client.ask(Ask(method="DELETE", key=check_key(key)), charge=Charge.FREE)

    def copy(self, source: str, destination: str) -> None:
        check_key(source)
        check_key(destination)
        if source == destination:
            self.head(source)
            return
        of = quote(f"/{self._config.bucket}/{source}", safe="/")
        request = Ask(method="PUT", key=destination, headers={"x-amz-copy-source": of})
        try:
            self.client.ask(request, charge=Charge.LIST)
        except ObjectMissingError:
            raise ObjectMissingError(f"there is no object at {self.place_of(source)}") from None
        except StoreRefusedError:
            found = self.head(source)
            if found.size_bytes <= s3_multipart.COPY_BYTES:
                raise
            copy_in_parts(self.client, of, destination, found.size_bytes, headers_of(found))

    @property
    def place(self) -> str:
        """The bucket, for messages."""
        return f"s3://{self._config.bucket}"

    def place_of(self, key: str) -> str:
        return self.client.place_of(check_key(key))

    def _put_whole(self, body: bytes, wanted: StoredObject, said: str | None) -> StoredObject:
        sha256 = hashlib.sha256(body).hexdigest()
        check_said(wanted.key, said, sha256)
        wanted = replace(wanted, size_bytes=len(body), sha256=sha256)
        digest = hashlib.md5(body, usedforsecurity=False)
        md5 = base64.b64encode(digest.digest()).decode()
        request = Ask(
            method="PUT",
            key=wanted.key,
            headers={**headers_of(wanted), "content-md5": md5},
            body=body,
            sha256=sha256,
        )
        etag = f'"{digest.hexdigest()}"'
        return self._sent(wanted, lambda: self._put_once(request, wanted, etag) == etag)

    def _put_once(self, request: Ask, wanted: StoredObject, etag: str) -> str | None:
        """Put, and after a lost answer look before putting again: B2 bills every version."""
        pauses = self.client.pauses()
        while True:
            try:
                got = self.client.ask(request, charge=Charge.FREE, pauses=pauses, look_first=True)
            except MaybeWorkedError as error:
                if self._is_there(wanted, etag):
                    return etag
                if not pauses.wait():
                    raise self.client.error(
                        Answer(status=None, sentence=str(error)), wanted.key
                    ) from None
            else:
                return got.headers.get("etag")

    def _is_there(self, wanted: StoredObject, etag: str) -> bool:
        request = Ask(method="HEAD", key=wanted.key)
        got = self.client.ask(request, charge=Charge.READ, expected=(200, 403, 404))
        if got.status != 200 or got.headers.get("etag") != etag:
            return False
        found = stored_object(wanted.key, got.headers)
        # When it was put and how the store tells it from others is known only now.
        return replace(found, modified_at=wanted.modified_at, version=wanted.version) == wanted

    def _put_parts(
        self, parts: Callable[[], Iterator[bytes]], wanted: StoredObject
    ) -> StoredObject:
        def send() -> bool:
            with self._slots.files:
                return put_in_parts(
                    self.client, wanted.key, parts(), headers_of(wanted), self._slots
                )

        return self._sent(wanted, send)

    def _sent(self, wanted: StoredObject, send: Callable[[], bool]) -> StoredObject:
        """Send until the bytes are there as they left; `send` says whether the ETag proves it."""
        for attempt in range(PUT_ATTEMPTS):
            try:
                is_proven = send() or self._reads_back(wanted)
            except UploadGoneError:
                if attempt + 1 == PUT_ATTEMPTS:
                    raise
                continue
            if is_proven:
                self._bucket_seen = True
                return wanted
        raise ObjectCorruptError(
            f"{self.place_of(wanted.key)}: sent {PUT_ATTEMPTS} times, and arrived as other bytes"
        )

    def _reads_back(self, wanted: StoredObject) -> bool:
        blocks = self._blocks(wanted.key, self._open(wanted.key, 0, None), 0, None)
        return sha256_of(blocks) == wanted.sha256

    def _open(self, key: str, start: int, end: int | None) -> Reply:
        last = "" if end is None else str(end - 1)
        headers = {"range": f"bytes={start}-{last}"} if start or end is not None else {}
        request = Ask(method="GET", key=key, headers=headers)
        expected = (200, 206, 416) if headers else (200,)
        return self.client.open(request, expected=expected, pauses=self.client.pauses())

    def _blocks(self, key: str, reply: Reply, start: int, end: int | None) -> Iterator[bytes]:
        """The bytes from `start` to `end`; where they break off they are asked for from there."""
        etag, position, pauses = reply.headers.get("etag"), start, self.client.pauses()
        while True:
            # Some servers answer a range with the whole, and rclone with a part as 200.
            is_part = "content-range" in reply.headers
            blocks = reply.blocks(BLOCK_BYTES)
            try:
                for block in blocks if is_part else cut(blocks, position, end):
                    position += len(block)
                    self.meter.received(len(block))
                    yield block
            except NoAnswerError as error:
                if not pauses.wait():
                    raise self.client.error(Answer(status=None, sentence=str(error)), key) from None
            else:
                return
            finally:
                reply.close()
            reply = self._open(key, position, end)
            if reply.headers.get("etag") != etag:
                reply.close()
                raise StoreUnreachableError(f"{self.place_of(key)} was replaced while it was read")
