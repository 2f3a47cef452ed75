"""Every version in a bucket, hidden ones included, and deleting one for good.

A DELETE without a version only hides what B2 goes on billing. Who may be deleted is said in
purge.py; what versions cost is counted in bucket_setup.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from b2_resources.meter import Charge
from b2_resources.s3_client import S3Client
from b2_resources.s3_wire import Ask


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a key, or the marker that hides the versions before it."""

    key: str
    version_id: str
    size_bytes: int
    is_marker: bool
    is_latest: bool


def listed_versions(client: S3Client, prefix: str) -> Iterator[Version]:
    """Every version below the prefix. Raises StoreRefusedError where the provider lists none.

    Some that keep no versions answer with nothing instead.
    """
    marker: list[tuple[str, str]] = []
    while True:
        query = [("versions", ""), ("prefix", prefix), ("max-keys", "1000"), *marker]
        got = client.ask(Ask(method="GET", query=query), charge=Charge.LIST)
        page = ET.fromstring(got.body)  # noqa: S314 expat refuses bombs
        is_encoded = page.findtext("{*}EncodingType") == "url"
        for kind in ("Version", "DeleteMarker"):
            for entry in page.iterfind(f"{{*}}{kind}"):
                key = entry.findtext("{*}Key") or ""
                yield Version(
                    key=unquote_plus(key) if is_encoded else key,
                    version_id=entry.findtext("{*}VersionId") or "",
                    size_bytes=int(entry.findtext("{*}Size") or 0) if kind == "Version" else 0,
                    is_marker=kind == "DeleteMarker",
                    is_latest=entry.findtext("{*}IsLatest") == "true",
                )
        if page.findtext("{*}IsTruncated") != "true":
            return
        marker = [
            ("key-marker", page.findtext("{*}NextKeyMarker") or ""),
            ("version-id-marker", page.findtext("{*}NextVersionIdMarker") or ""),
        ]


def delete_version(client: S3Client, version: Version) -> None:
    """Delete the version for good; one that is gone is fine."""
    query = [("versionId", version.version_id)]
    request = Ask(method="DELETE", key=version.key, query=query)
    client.ask(request, charge=Charge.FREE, expected=(200, 204, 404))
