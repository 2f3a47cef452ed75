"""The listing of a bucket, page by page, as S3 servers write it."""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from b2_resources.meter import Charge
from b2_resources.object_store import StoredObject
from b2_resources.s3_client import S3Client
from b2_resources.s3_wire import Ask

PAGE_KEYS = 1000


def listed_objects(client: S3Client, prefix: str) -> Iterator[StoredObject]:
    """Every object below the prefix, keys that others made included, in the server's order."""
    token: list[tuple[str, str]] = []
    query = [
        ("list-type", "2"),
        ("prefix", prefix),
        ("max-keys", str(PAGE_KEYS)),
        ("encoding-type", "url"),  # XML 1.0 has no way to write some characters
    ]
    while True:
        request = Ask(method="GET", query=[*query, *token])
        page = ET.fromstring(client.ask(request, charge=Charge.LIST).body)  # noqa: S314 expat refuses bombs
        is_encoded = page.findtext("{*}EncodingType") == "url"
        for entry in page.iterfind("{*}Contents"):
            key = entry.findtext("{*}Key") or ""
            yield StoredObject(
                key=unquote_plus(key) if is_encoded else key,
                size_bytes=int(entry.findtext("{*}Size") or 0),
                modified_at=datetime.fromisoformat(entry.findtext("{*}LastModified") or ""),
            )
        next_token = page.findtext("{*}NextContinuationToken")
        if page.findtext("{*}IsTruncated") != "true" or not next_token:
            return
        token = [("continuation-token", next_token)]
