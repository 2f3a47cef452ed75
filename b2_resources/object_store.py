"""What every store promises: bytes under keys, whole or absent, proven by their sha256.

The stores are in files of their own; one suite, tests/contracts/, holds all of them to this page.
Signing URLs is a second, smaller promise, and uploads in parts by others are a third.
"""

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from outreach_core.errors import PermanentError, RetryableError

BLOCK_BYTES = 1024 * 1024
"""How much a stream reads or hands over at a time, at most."""

MAX_METADATA_BYTES = 1024  # S3's limit is 2,048, and servers count other headers in
MAX_METADATA_NAMES = 8  # B2 keeps ten pairs with a file; sha256 is one of them
OWN_METADATA = {"sha256", "mtime"}  # ours, and the one rclone adds to what it uploads
GENERATION = "outreach-generation"  # HybridStore's, beside the caller's eight
METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CONTENT_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
}


class ObjectMissingError(PermanentError):
    """There is no object under this key. Never said when the store could not find out."""


class StoreRefusedError(PermanentError):
    """The store answered no: a wrong key or bucket, no permission, no room."""


class StoreUnreachableError(RetryableError):
    """No answer, or one that says to come back later, after all retries."""


class ObjectCorruptError(PermanentError):
    """The bytes are not the ones that were put: their sha256 or size differs, also when retried."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object as its store knows it.

    A listing knows key, size and time only: there `sha256` and `content_type` are None and
    `metadata` is empty. `sha256` is also None for an object that others put into the bucket.
    """

    key: str
    size_bytes: int
    modified_at: datetime
    """Aware, UTC. From a put: this machine's clock; otherwise the store's."""
    sha256: str | None = None
    """Lower-case hex."""
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    """From `head`: what a bucket tells these bytes by from others under the same key. None where
    the sha256 does, and from a put or a listing."""


class ObjectStore(Protocol):
    """Bytes under keys.

    Keys are checked by `keys.check_key`: every method raises KeyRefusedError for one that not all
    stores can hold. Besides the errors named, every method may raise StoreRefusedError and
    StoreUnreachableError; both name the key or the prefix. Safe to call from several threads.
    """

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> StoredObject:
        """Store the file's bytes under the key, replacing what was there, whole or not at all.

        Afterwards `head` answers with their size and sha256. The content type is guessed from the
        key when none is given. `sha256`, where the caller knows it already, saves reading a large
        file twice and is checked: ObjectCorruptError when the file has other bytes.
        Raises PermanentError when the file is not there or changes meanwhile.
        """
        ...

    def put_bytes(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        """The same for bytes in memory."""
        ...

    def get_file(self, key: str, path: Path) -> StoredObject:
        """Write the object's bytes to the path, whole or not at all, proven by size and sha256.

        Raises ObjectMissingError or ObjectCorruptError; what was at the path is then still there.
        """
        ...

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The object's bytes from `start` up to, not including, `end`, in blocks.

        A range that ends behind the object ends with it; one that starts there is empty. A
        whole read is proven when its last block has been taken; a part cannot be. Raises
        ObjectMissingError or ObjectCorruptError while iterating.
        """
        ...

    def head(self, key: str) -> StoredObject:
        """All that is known of the object. Raises ObjectMissingError."""
        ...

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with the prefix, in the order of the keys' UTF-8 bytes.

        Lazy, and of any length. A prefix that nothing begins with is an empty list.
        """
        ...

    def delete(self, key: str) -> None:
        """Afterwards there is no such object; deleting one that is not there is fine."""
        ...

    def copy(self, source: str, destination: str) -> None:
        """The same bytes, type and metadata under a second key. Raises ObjectMissingError."""
        ...

    def place_of(self, key: str) -> str:
        """Where a person finds the object: an absolute path, or `s3://bucket/key`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file to put; the fields are those of `ObjectStore.put_file`."""

    key: str
    path: Path
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None


def put_files(
    store: ObjectStore, uploads: Iterable[Upload], *, workers: int = 16
) -> list[StoredObject]:
    """Put many files, `workers` at once; the answers come in the order of the uploads.

    The first that fails ends it: what has begun is finished, the rest is not started, and the
    error, which names its key, is raised. Repeating the call is harmless.
    """

    def put(upload: Upload) -> StoredObject:
        return store.put_file(
            upload.key,
            upload.path,
            content_type=upload.content_type,
            metadata=upload.metadata,
            sha256=upload.sha256,
        )

    with ThreadPoolExecutor(workers, thread_name_prefix="put") as pool:
        futures = [pool.submit(put, upload) for upload in uploads]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f for f in futures if f.done() and not f.cancelled() and f.exception()]
            return [future.result() for future in (failed[:1] or futures)]
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def get_bytes(store: ObjectStore, key: str) -> bytes:
    """The whole object in memory, proven. Raises ObjectMissingError or ObjectCorruptError."""
    return b"".join(store.stream(key))


def content_type_of(key: str) -> str:
    """What the end of the key suggests, `application/octet-stream` where it suggests nothing."""
    suffix = Path(key).suffix.lower()
    known = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(key, strict=True)[0]
    return known or "application/octet-stream"


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the metadata, when every store can keep it. Raises PermanentError."""
    checked = dict(metadata or {})
    for name, value in checked.items():
        if not METADATA_NAME.fullmatch(name) or name in OWN_METADATA:
            raise PermanentError(
                f"metadata name {name!r}: expected lower-case letters, digits and -, and none of "
                f"{', '.join(sorted(OWN_METADATA))}"
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PermanentError(f"metadata {name!r} is not valid unicode") from None
    callers = {name: value for name, value in checked.items() if name != GENERATION}
    encoded = sum(len(name) + len(encoded_value(value)) for name, value in callers.items())
    if encoded > MAX_METADATA_BYTES or len(callers) > MAX_METADATA_NAMES:
        raise PermanentError(
            f"metadata of {len(callers)} names and {encoded} encoded bytes: a store keeps at most "
            f"{MAX_METADATA_NAMES} names and {MAX_METADATA_BYTES} bytes"
        )
    return checked


def encoded_value(value: str) -> str:
    """A metadata value as an HTTP header can carry it: everything but visible ASCII as %XX."""
    return "".join(
        character
        if "!" <= character <= "~" and character != "%"
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in value
    )
