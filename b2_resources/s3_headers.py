"""An object as the headers of its requests and answers: type, size, time and metadata."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from b2_resources.object_store import (
    OWN_METADATA,
    StoredObject,
    check_metadata,
    content_type_of,
    encoded_value,
)

META = "x-amz-meta-"
SHA256 = f"{META}sha256"


def wanted_object(
    key: str, content_type: str | None, metadata: Mapping[str, str] | None
) -> StoredObject:
    """What a put is to make, before its bytes are known. Raises PermanentError."""
    return StoredObject(
        key=key,
        size_bytes=0,
        # A PUT is answered without the time; asking for it doubles the requests.
        modified_at=datetime.now(UTC),  # noqa: TID251 an edge: the moment of the deed
        content_type=content_type or content_type_of(key),
        metadata=check_metadata(metadata),
    )


def headers_of(wanted: StoredObject) -> dict[str, str]:
    """What a PUT of this object carries."""
    return {
        "content-type": wanted.content_type or "",
        SHA256: wanted.sha256 or "",
        **{META + name: encoded_value(value) for name, value in wanted.metadata.items()},
    }


def stored_object(key: str, headers: Mapping[str, str]) -> StoredObject:
    """What the headers of an answer say of the object."""
    kept = {
        name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)
    }
    return StoredObject(
        key=key,
        size_bytes=int(headers.get("content-length") or 0),
        modified_at=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
        sha256=kept.get("sha256"),
        content_type=headers.get("content-type"),
        metadata={n: unquote(v) for n, v in kept.items() if n not in OWN_METADATA},
        version=headers.get("x-amz-version-id") or headers.get("etag"),
    )
