"""A bucket on Backblaze B2, AWS S3, Scaleway or any other S3 server as an object store.

Bytes are moved by obstore (docs/decisions/0003). Each upload is proven: the ETag the server
answers is compared with the MD5 of what was read, and where the server's ETag is no MD5 the bytes
are read back. Signing, set-up and diagnosis are not here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import obstore
from obstore.exceptions import GenericError, NotModifiedError, PermissionDeniedError

from b2_resources.files import file_size, proven_blocks, read_blocks, sha256_of, write_whole
from b2_resources.keys import KeyRefusedError, check_key, check_prefix
from b2_resources.object_store import (
    BLOCK_BYTES,
    OWN_METADATA,
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    check_metadata,
    content_type_of,
    encoded_value,
)
from b2_resources.proof import MultipartETag, check_said, cut, proven
from b2_resources.s3_config import S3Config, bucket_of
from b2_resources.s3_errors import answer_in, s3_errors

SINGLE_PUT_BYTES = 16 * 1024 * 1024
"""Up to here a file is read once, into memory, and sent in one request."""

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 4
MAX_PARTS = 1000  # Scaleway's limit; B2 and AWS take 10,000
PUT_ATTEMPTS = 3
"""How often bytes that arrived as others are sent again. Errors are retried below this."""
READ_ATTEMPTS = 2
"""How often bytes that came as others are asked for into a file."""

# What others may have put beside the content type; none of it is the caller's metadata.
HTTP_ATTRIBUTES = {
    "Content-Type",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Cache-Control",
    "Storage-Class",
}


class S3Store(ObjectStore):
    """An object store in one bucket. Opens no connection before the first call."""

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._bucket = bucket_of(config)
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
        attributes = _attributes(key, content_type, check_metadata(metadata))
        size_bytes = file_size(path)
        if size_bytes <= SINGLE_PUT_BYTES:
            return self._put_whole(key, b"".join(read_blocks(path)), attributes, sha256)
        # The hash is metadata, which goes ahead of the first byte of a multipart upload.
        known = sha256 or sha256_of(read_blocks(path))
        return self._put_parts(key, path, size_bytes, {**attributes, "sha256": known})

    def put_bytes(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        check_key(key)
        attributes = _attributes(key, content_type, check_metadata(metadata))
        return self._put_whole(key, body, attributes, None)

    def get_file(self, key: str, path: Path) -> StoredObject:
        for attempt in range(READ_ATTEMPTS):
            try:
                with self._errors(key):
                    found = self._get(key)
                    stored = _stored(key, found)
                    write_whole(path, proven(stored, self.place_of(key), found.stream(BLOCK_BYTES)))
                    return stored
            except ObjectCorruptError:
                if attempt + 1 == READ_ATTEMPTS:
                    raise
        raise AssertionError("the loop returns or raises")

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        check_key(key)
        with self._errors(key):
            if start == 0 and end is None:
                found = self._get(key)
                yield from proven(
                    _stored(key, found), self.place_of(key), found.stream(BLOCK_BYTES)
                )
            elif end is None or start < end:
                yield from self._range(key, start, end)

    def head(self, key: str) -> StoredObject:
        check_key(key)
        with self._errors(key):
            try:
                found = obstore.get(self._bucket, key, options={"head": True})
            except (FileNotFoundError, PermissionDeniedError):
                # The answer to a HEAD has no body: no bucket or no object, which secret is wrong?
                if self._bucket_seen:
                    raise
                found = self._get(key)
            self._bucket_seen = True
            return _stored(key, found)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        # The library lists whole folders only; the order lets us enter and leave one midway.
        folder = prefix.rpartition("/")[0]
        with self._errors(prefix):
            pages = obstore.list(
                self._bucket, prefix=folder or None, offset=_just_before(prefix), chunk_size=1000
            )
            for listed in (entry for page in pages for entry in page):
                key = listed["path"]
                if key.startswith(prefix):
                    yield StoredObject(
                        key=key, size_bytes=listed["size"], modified_at=listed["last_modified"]
                    )
                elif key > prefix:
                    return

    def delete(self, key: str) -> None:
        check_key(key)
        with suppress(ObjectMissingError), self._errors(key):
            obstore.delete(self._bucket, key)

    def copy(self, source: str, destination: str) -> None:
        check_key(source)
        check_key(destination)
        if source == destination:
            self.head(source)
            return
        with self._errors(source):
            obstore.copy(self._bucket, source, destination)

    def place_of(self, key: str) -> str:
        return f"s3://{self._config.bucket}/{check_key(key)}"

    def _errors(self, key: str) -> AbstractContextManager[None]:
        return s3_errors(f"s3://{self._config.bucket}/{key}", self._config.secrets)

    def _get(self, key: str) -> "obstore.GetResult":
        return obstore.get(self._bucket, check_key(key))

    def _put_whole(
        self, key: str, body: bytes, attributes: dict[str, str], said: str | None
    ) -> StoredObject:
        sha256 = hashlib.sha256(body).hexdigest()
        check_said(key, said, sha256)
        attributes = {**attributes, "sha256": sha256}
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()

        def send() -> bool:
            answer = obstore.put(
                self._bucket, key, body, attributes=attributes, use_multipart=False
            )
            return answer["e_tag"] == f'"{etag}"'

        return self._sent(key, len(body), attributes, send)

    def _put_parts(
        self, key: str, path: Path, size_bytes: int, attributes: dict[str, str]
    ) -> StoredObject:
        part_bytes = max(PART_BYTES, -(-size_bytes // MAX_PARTS))

        def send() -> bool:
            etag = MultipartETag()
            answer = obstore.put(
                self._bucket,
                key,
                etag.of_parts(proven_blocks(path, part_bytes, attributes["sha256"])),
                attributes=attributes,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=PARTS_AT_ONCE,
            )
            return answer["e_tag"] == str(etag)

        return self._sent(key, size_bytes, attributes, send)

    def _sent(
        self, key: str, size_bytes: int, attributes: dict[str, str], send: Callable[[], bool]
    ) -> StoredObject:
        """Send until the bytes are there as they left; `send` says whether the ETag proves it."""
        with self._errors(key):
            for _ in range(PUT_ATTEMPTS):
                if send() or self._reads_back(key, attributes["sha256"]):
                    self._bucket_seen = True
                    return StoredObject(
                        key=key,
                        size_bytes=size_bytes,
                        # A PUT is answered without the time; asking for it doubles the requests.
                        modified_at=datetime.now(UTC),  # noqa: TID251 an edge: the moment of the deed
                        sha256=attributes["sha256"],
                        content_type=attributes["Content-Type"],
                        metadata=_callers(attributes),
                    )
        raise ObjectCorruptError(
            f"{self.place_of(key)}: sent {PUT_ATTEMPTS} times, and the bytes arrived as others"
        )

    def _reads_back(self, key: str, sha256: str) -> bool:
        return sha256_of(self._get(key).stream(BLOCK_BYTES)) == sha256

    def _range(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        wanted: tuple[int, int] | obstore.OffsetRange = (
            (start, end) if end is not None else {"offset": start}
        )
        try:
            found = obstore.get(self._bucket, key, options={"range": wanted})
        except (GenericError, NotModifiedError) as error:
            answer = answer_in(error)
            if answer.status == 416:  # starts behind the end
                return
            if answer.status is not None:
                raise
            # The server sent the whole object (rclone does): cut the range out of it.
            found = self._get(key)
            yield from cut(found.stream(BLOCK_BYTES), start, end)
            return
        yield from found.stream(BLOCK_BYTES)


def _attributes(key: str, content_type: str | None, metadata: dict[str, str]) -> dict[str, str]:
    return {
        "Content-Type": content_type or content_type_of(key),
        **{name: encoded_value(value) for name, value in metadata.items()},
    }


def _callers(attributes: Mapping[str, str]) -> dict[str, str]:
    """The caller's metadata among everything an object carries."""
    ours = HTTP_ATTRIBUTES | OWN_METADATA
    return {name: unquote(value) for name, value in attributes.items() if name not in ours}


def _stored(key: str, found: "obstore.GetResult") -> StoredObject:
    attributes = {str(name): value for name, value in found.attributes.items()}
    return StoredObject(
        key=key,
        size_bytes=found.meta["size"],
        modified_at=found.meta["last_modified"],
        sha256=attributes.get("sha256"),
        content_type=attributes.get("Content-Type"),
        metadata=_callers(attributes),
    )


def _just_before(prefix: str) -> str | None:
    """A key that sorts before all that begin with the prefix and not long before; None for none."""
    before = prefix[:-1] + chr(ord(prefix[-1]) - 1) if prefix and not prefix.endswith("/") else ""
    try:
        return check_key(before)
    except KeyRefusedError:
        return None
