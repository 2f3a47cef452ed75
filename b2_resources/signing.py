"""URLs that let somebody without our keys put or get one object: the second, smaller promise.

For a bucket they are the provider's own presigned URLs (s3_signing.py). For a folder they point at
our API and carry a token made and checked here; serving them is the API's business.
"""

import base64
import binascii
import hmac
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from b2_resources.keys import REFUSED_CHARACTERS, check_key
from b2_resources.part_uploads import MOST_PARTS
from outreach_core.errors import PermanentError

LONGEST = timedelta(days=7)  # what S3 allows
LARGEST_PUT_BYTES = 5 * 1024**3
"""S3's limit for one request."""
ROUTE = "signed"
"""Below the API's address: where tokens are taken."""


class TokenRefusedError(PermanentError):
    """The token is not ours, was altered, is for something else, or its time is over."""


@dataclass(frozen=True, kw_only=True)
class SignedUpload:
    """What to send: a PUT to the URL with exactly these headers and as many bytes as were said."""

    url: str = field(repr=False)
    headers: dict[str, str]
    expires_at: datetime


class SigningStore(Protocol):
    """Signs URLs for one object, one method, a limited time. Asks no server.

    Raises KeyRefusedError for keys, and PermanentError for times and sizes that cannot be.
    """

    def sign_upload(
        self, key: str, *, content_type: str, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """For exactly so many bytes of that type; anything else is refused when it is tried."""
        ...

    def sign_part(
        self, key: str, upload_id: str, number: int, *, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """For exactly so many bytes, as that part of an upload (part_uploads.py)."""
        ...

    def sign_download(self, key: str, *, valid_for: timedelta, filename: str | None = None) -> str:
        """A URL to GET; with `filename` a browser saves it under that name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a token of ours allows."""

    method: str
    key: str
    expires_at: int
    """Unix seconds."""
    content_type: str = ""
    size_bytes: int = 0
    filename: str = ""
    upload_id: str = ""
    part: int = 0
    """Of that upload; 0 for a whole object."""


class LocalSigning(SigningStore):
    """Signs with a secret of this machine; the same secret checks what comes back."""

    def __init__(self, *, secret: bytes, api_url: str) -> None:
        self._secret, self._api_url = secret, api_url.rstrip("/")

    def sign_upload(
        self, key: str, *, content_type: str, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """See SigningStore."""
        check_upload(key, content_type, size_bytes)
        grant = Grant(
            method="PUT",
            key=key,
            expires_at=_ends_at(valid_for),
            content_type=content_type,
            size_bytes=size_bytes,
        )
        return self._signed_put(grant, {"content-type": content_type})

    def sign_part(
        self, key: str, upload_id: str, number: int, *, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """See SigningStore."""
        check_part(key, number, size_bytes)
        grant = Grant(
            method="PUT",
            key=key,
            expires_at=_ends_at(valid_for),
            size_bytes=size_bytes,
            upload_id=upload_id,
            part=number,
        )
        return self._signed_put(grant, {})

    def sign_download(self, key: str, *, valid_for: timedelta, filename: str | None = None) -> str:
        """See SigningStore."""
        grant = Grant(
            method="GET",
            key=check_key(key),
            expires_at=_ends_at(valid_for),
            filename=checked_filename(filename),
        )
        return f"{self._api_url}/{ROUTE}/{quote(key)}?token={self._token(grant)}"

    def _signed_put(self, grant: Grant, headers: dict[str, str]) -> SignedUpload:
        return SignedUpload(
            url=f"{self._api_url}/{ROUTE}/{quote(grant.key)}?token={self._token(grant)}",
            headers={**headers, "content-length": str(grant.size_bytes)},
            expires_at=datetime.fromtimestamp(grant.expires_at, UTC),
        )

    def grant_of(self, token: str, *, method: str, key: str, now: datetime) -> Grant:
        """What the token allows, when it is for this. Raises TokenRefusedError, always alike."""
        refused = TokenRefusedError("this link is not valid, or no longer")
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(self._mac(body).encode(), signature.encode(errors="replace")):
            raise refused
        try:
            grant = Grant(**json.loads(base64.urlsafe_b64decode(body)))
        except (ValueError, TypeError, binascii.Error):
            raise refused from None
        if (grant.method, grant.key) != (method, key) or now.timestamp() >= grant.expires_at:
            raise refused
        return grant

    def _token(self, grant: Grant) -> str:
        body = base64.urlsafe_b64encode(json.dumps(asdict(grant)).encode()).decode()
        return f"{body}.{self._mac(body)}"

    def _mac(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(errors="replace"), "sha256").hexdigest()


def signing_secret(path: Path) -> bytes:
    """The secret kept in that file, which only its owner may read; made at first use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    if not path.exists():
        try:
            with os.fdopen(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(secrets.token_hex(32).encode())
            with suppress(FileExistsError):  # another process was faster: its secret is the one
                path.hardlink_to(part)
        finally:
            part.unlink(missing_ok=True)
    secret = path.read_bytes().strip()
    if len(secret) < 32:
        raise PermanentError(f"{path} holds no secret: remove it, and links made before are void")
    return secret


def check_upload(key: str, content_type: str, size_bytes: int) -> None:
    """Raises PermanentError for what cannot be signed."""
    check_key(key)
    if "/" not in content_type or REFUSED_CHARACTERS.search(content_type):
        raise PermanentError(f"content type {content_type!r}: expected for example text/csv")
    if not 0 <= size_bytes <= LARGEST_PUT_BYTES:
        raise PermanentError(
            f"{size_bytes} bytes: one request takes 0 to {LARGEST_PUT_BYTES} bytes"
        )


def check_part(key: str, number: int, size_bytes: int) -> None:
    """Raises PermanentError for a part that cannot be."""
    check_key(key)
    if not 1 <= number <= MOST_PARTS or not 1 <= size_bytes <= LARGEST_PUT_BYTES:
        raise PermanentError(f"part {number} of {size_bytes} bytes: there can be no such part")


def checked_time(valid_for: timedelta) -> timedelta:
    """The time itself, when every provider signs for so long. Raises PermanentError."""
    if not timedelta(seconds=1) <= valid_for <= LONGEST:
        raise PermanentError(f"valid for {valid_for}: expected a second to {LONGEST.days} days")
    return valid_for


def checked_filename(filename: str | None) -> str:
    """The name a browser is told, `""` for none. Raises PermanentError."""
    name = filename or ""
    if REFUSED_CHARACTERS.search(name) or "/" in name or len(name) > 200:
        raise PermanentError(f"file name {name[:80]!r}: expected a plain name")
    return name


def disposition_of(filename: str) -> str:
    """The Content-Disposition header for that name, in whatever script it is."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


def _ends_at(valid_for: timedelta) -> int:
    now = datetime.now(UTC)  # noqa: TID251 an edge: a link is valid from this moment
    return int((now + checked_time(valid_for)).timestamp())
