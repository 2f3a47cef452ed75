"""Rules of a bucket (browser uploads, hidden versions, forgotten uploads), and what it costs.

Rules are sent by our own client: boto3 adds checksum headers here that B2 has refused.
"""

import base64
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.etree import ElementTree as ET

from b2_resources.hybrid_store import HybridStore
from b2_resources.meter import Charge
from b2_resources.object_store import ObjectStore, StoreRefusedError
from b2_resources.s3_client import S3Client
from b2_resources.s3_multipart import abort_stale_uploads, open_uploads
from b2_resources.s3_store import S3Store
from b2_resources.s3_versions import listed_versions
from b2_resources.s3_wire import Ask
from outreach_core.findings import Finding, Result

RULE = "outreach-workbench"
STALE_DAYS = 1
DOLLARS_PER_TB_MONTH = 6.0
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What lies in a bucket. `hidden` is what was replaced or deleted and is billed as well."""

    objects: int = 0
    size_bytes: int = 0
    hidden_versions: int | None = None
    """None where the store does not tell."""
    hidden_bytes: int = 0
    open_uploads: int = 0
    dollars_per_tb_month: float = DOLLARS_PER_TB_MONTH

    @property
    def month_dollars(self) -> float:
        """For storage, by Backblaze's published price; requests and downloads come on top."""
        return (self.size_bytes + self.hidden_bytes) / 1e12 * self.dollars_per_tb_month


def set_up(
    store: S3Store, *, origins: Collection[str], hidden_days: int, now: datetime
) -> Iterator[Finding]:
    """Make the rules where the provider takes them; a finding for each, also where it does not.

    Rules that others have made stay. `origins` are the web pages that may upload.
    """
    if origins:
        yield _rule(store.client, "cors", "CORSRule", _cors_rule(origins), "browser uploads")
    found = f"hidden versions go after {hidden_days} days, forgotten uploads after {STALE_DAYS}"
    yield _rule(store.client, "lifecycle", "Rule", _lifecycle_rule(hidden_days), found)
    aborted = abort_stale_uploads(store.client, before=now - timedelta(days=STALE_DAYS))
    yield Finding(check="uploads", result=Result.OK, found=f"{aborted} forgotten ones aborted")


def usage(store: ObjectStore, *, prefix: str = "") -> Usage:
    """Counts all versions where the store lists them, the objects where it does not.

    Of a hybrid store, what its bucket holds; a folder costs nothing.
    """
    match store:
        case S3Store():
            return _bucket_usage(store, prefix)
        case HybridStore(far=far):
            return _bucket_usage(far, prefix)
        case _:
            sizes = [found.size_bytes for found in store.list_objects(prefix)]
            return Usage(objects=len(sizes), size_bytes=sum(sizes), dollars_per_tb_month=0)


def _bucket_usage(store: S3Store, prefix: str) -> Usage:
    uploads = sum(1 for _ in open_uploads(store.client, prefix))
    try:
        versions = list(listed_versions(store.client, prefix))
    except StoreRefusedError:
        versions = []
    if not versions:
        sizes = [found.size_bytes for found in store.list_objects(prefix)]
        return Usage(objects=len(sizes), size_bytes=sum(sizes), open_uploads=uploads)
    latest = [v.size_bytes for v in versions if v.is_latest and not v.is_marker]
    hidden = [v.size_bytes for v in versions if not v.is_latest or v.is_marker]
    return Usage(
        objects=len(latest),
        size_bytes=sum(latest),
        hidden_versions=len(hidden),
        hidden_bytes=sum(hidden),
        open_uploads=uploads,
    )


def _rule(client: S3Client, name: str, element: str, rule: str, found: str) -> Finding:
    try:
        kept = _others(client, name, element)
        root = "CORSConfiguration" if name == "cors" else "LifecycleConfiguration"
        body = f'<{root} xmlns="{NAMESPACE}">{kept}{rule}</{root}>'.encode()
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request = Ask(
            method="PUT",
            query=[(name, "")],
            headers={"content-md5": base64.b64encode(digest).decode()},
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
        )
        client.ask(request, charge=Charge.LIST)
    except StoreRefusedError as error:
        cure = "make the rule on the provider's own pages, or leave it"
        says = f"{found}: not set, the provider refused ({error})"
        return Finding(check=name, result=Result.WARN, found=says, cure=cure)
    return Finding(check=name, result=Result.OK, found=found)


def _others(client: S3Client, name: str, element: str) -> str:
    """The rules there that are not ours, as they are to be sent again."""
    ET.register_namespace("", NAMESPACE)
    request = Ask(method="GET", query=[(name, "")])
    got = client.ask(request, charge=Charge.LIST, expected=(200, 404))
    if got.status == 404 or not got.body:
        return ""
    rules = ET.fromstring(got.body).iterfind(f"{{*}}{element}")  # noqa: S314 expat refuses bombs
    return "".join(
        ET.tostring(rule, encoding="unicode") for rule in rules if rule.findtext("{*}ID") != RULE
    )


def _cors_rule(origins: Collection[str]) -> str:
    allowed = "".join(f"<AllowedOrigin>{_escaped(origin)}</AllowedOrigin>" for origin in origins)
    return (
        f"<CORSRule><ID>{RULE}</ID>{allowed}<AllowedMethod>PUT</AllowedMethod>"
        "<AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod>"
        "<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>"
        "<MaxAgeSeconds>3600</MaxAgeSeconds></CORSRule>"
    )


def _lifecycle_rule(hidden_days: int) -> str:
    return (
        f"<Rule><ID>{RULE}</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
        f"<NoncurrentVersionExpiration><NoncurrentDays>{hidden_days}</NoncurrentDays>"
        "</NoncurrentVersionExpiration><AbortIncompleteMultipartUpload>"
        f"<DaysAfterInitiation>{STALE_DAYS}</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload></Rule>"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
