"""The usual mistakes in the B2_ settings that can be told before any network call."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from b2_resources.s3_config import THIS_MACHINE
from outreach_core.findings import Finding, Result

B2_HOST = re.compile(r"s3\.([a-z]{2}(?:-[a-z]+)+-\d{3})\.backblazeb2\.com")
MASTER_KEY_ID = re.compile(r"[0-9a-f]{12}")
KEY_ID_LETTERS, SECRET_LETTERS = 25, 31
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class B2Settings:
    """The five variables as they were written."""

    endpoint: str
    region: str
    key_id: str
    application_key: str = field(repr=False)
    bucket: str


def check_settings(written: B2Settings) -> list[Finding]:
    """A finding for each mistake, none where there is none. Shows no secret."""
    return [
        *_around(written),
        *_endpoint(written),
        *_keys(written),
        *_bucket(written),
    ]


def _around(written: B2Settings) -> Iterator[Finding]:
    for name in ("endpoint", "region", "key_id", "application_key", "bucket"):
        value = getattr(written, name)
        if not value.strip():
            yield _wrong(f"B2_{name.upper()}", "is empty", "set it, or none of the B2_ variables")
        elif value != value.strip().strip("'\"“”"):
            yield _wrong(
                f"B2_{name.upper()}",
                "has quotes or spaces around its value",
                "write the value alone: Docker and systemd pass quotes on as part of it",
            )


def _endpoint(written: B2Settings) -> Iterator[Finding]:
    endpoint = written.endpoint.strip().strip("'\"")
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    form = "https://s3.<region>.backblazeb2.com, as the bucket's page shows it"
    if endpoint and (parts.scheme not in ("http", "https") or not host):
        yield _wrong("B2_ENDPOINT", f"{endpoint!r} is no URL", f"write {form}")
        return
    if parts.scheme == "http" and host not in THIS_MACHINE:
        yield _wrong("B2_ENDPOINT", f"{endpoint} is plain http", "write https://")
    if parts.path.strip("/"):
        cure = "write it without the bucket, which is B2_BUCKET"
        yield _wrong("B2_ENDPOINT", f"{endpoint} goes on behind the host", cure)
    if host.endswith("backblazeb2.com"):
        found = B2_HOST.fullmatch(host)
        if found is None and ".s3." in host:
            cure = "write it without the bucket, which is B2_BUCKET"
            yield _wrong("B2_ENDPOINT", f"{host} begins with a bucket", cure)
        elif found is None:
            yield _wrong("B2_ENDPOINT", f"{host} is not B2's S3 address", f"write {form}")
        elif written.region.strip() != found[1] and written.region.strip():
            yield _wrong(
                "B2_REGION",
                f"{written.region!r} contradicts the endpoint, which says {found[1]!r}",
                f"set B2_REGION={found[1]}",
            )


def _keys(written: B2Settings) -> Iterator[Finding]:
    key_id = written.key_id.strip().strip("'\"")
    secret = written.application_key.strip().strip("'\"")
    if MASTER_KEY_ID.fullmatch(key_id):
        yield _wrong(
            "B2_KEY_ID",
            "is a master key's id (12 characters), which the S3 API refuses",
            "make an application key under App Keys and use both its parts",
        )
    elif len(key_id) == SECRET_LETTERS and key_id.startswith("K") and len(secret) < SECRET_LETTERS:
        yield _wrong(
            "B2_KEY_ID",
            "and B2_APPLICATION_KEY look swapped: the one that begins with K is the secret",
            "exchange the two values; as the id is shown in logs, better make a new key",
        )
    elif "backblazeb2.com" in written.endpoint and key_id and secret:
        if len(key_id) != KEY_ID_LETTERS:
            yield _odd("B2_KEY_ID", len(key_id), KEY_ID_LETTERS)
        if len(secret) != SECRET_LETTERS:
            yield _odd("B2_APPLICATION_KEY", len(secret), SECRET_LETTERS)


def _bucket(written: B2Settings) -> Iterator[Finding]:
    bucket = written.bucket.strip().strip("'\"")
    if bucket and not BUCKET.fullmatch(bucket):
        cure = "write the bucket's name alone, without s3://, b2:// or a folder"
        yield _wrong("B2_BUCKET", f"{bucket!r} is no bucket's name", cure)


def _odd(name: str, letters: int, expected: int) -> Finding:
    return Finding(
        check=name,
        result=Result.WARN,
        found=f"has {letters} characters, where Backblaze's have {expected}",
        cure="copy it again, the whole of it",
        is_setting=True,
    )


def _wrong(name: str, found: str, cure: str) -> Finding:
    return Finding(
        check=name, result=Result.PROBLEM, found=f"{name} {found}", cure=cure, is_setting=True
    )
