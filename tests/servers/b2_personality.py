"""What Backblaze B2 says no to, and keeps, where `rclone serve s3` does not: for fault_proxy.py.

Refusals (conditions, checksum headers, tagging, ACLs, a master key), versions and hide markers
with their listing, CORS and lifecycle rules. Keeps sizes only: an old version cannot be read back.
"""

import base64
import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

REFUSED_HEADERS = ("x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-trailer", "x-amz-tagging")
KEPT_RULES = ("cors", "lifecycle")


@dataclass(kw_only=True)
class Version:
    """One version of a key, or the marker that hides it."""

    key: str
    version_id: str
    size_bytes: int
    is_marker: bool
    is_latest: bool = True


@dataclass(frozen=True, kw_only=True)
class Refusal:
    status: int
    code: str
    sentence: str

    def body(self) -> bytes:
        return error_body(self.code, self.sentence)


def error_body(code: str, sentence: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f"<Error>\n<Code>{code}</Code>\n<Message>{escape(sentence)}</Message>\n</Error>\n"
    ).encode()


@dataclass(kw_only=True)
class B2Personality:
    """State of the make-believe account. `lifecycle` False refuses those rules, as some do."""

    lifecycle: bool = True
    denied: set[str] = field(default_factory=set)
    """What the key may not: list, read, write, delete."""
    is_public: bool = False
    copies_whole: bool = True
    """False: every object is too large for one COPY request."""
    listing: bytes | None = None
    """Instead of what a LIST answers."""
    clock_seconds: float = 0
    """How far the server's clock is ahead."""
    versions: list[Version] = field(default_factory=list)
    rules: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _made: int = 0
    _parts: dict[str, dict[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refusal(  # noqa: PLR0911 one for each refusal
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> Refusal | None:
        """B2's no to this request, whose header names are lower-case."""
        key_id = re.search(r"Credential=([^/]*)/", headers.get("authorization", ""))
        if key_id and len(key_id[1]) == 12:
            return Refusal(
                status=403, code="InvalidAccessKeyId", sentence="Malformed Access Key Id"
            )
        if _capability(method, path) in self.denied:
            return Refusal(status=403, code="AccessDenied", sentence="not entitled")
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        bulk_delete = method == "POST" and "delete" in query
        for name in headers:
            if name.startswith(REFUSED_HEADERS) and not (bulk_delete or set(query) & {*KEPT_RULES}):
                return Refusal(
                    status=400,
                    code="InvalidArgument",
                    sentence=f"Unsupported header '{name}' received for this API call.",
                )
        if method == "PUT" and {"if-match", "if-none-match"} & set(headers):
            return Refusal(
                status=501,
                code="NotImplemented",
                sentence="A header you provided implies functionality that is not implemented",
            )
        if "tagging" in query or ("acl" in query and method == "PUT" and _key(path)):
            return Refusal(status=400, code="InvalidRequest", sentence="Not supported")
        if "x-amz-copy-source" in headers and not (self.copies_whole or "uploadId" in query):
            says = "The specified copy source is larger than the maximum allowable size"
            return Refusal(status=400, code="InvalidRequest", sentence=says)
        if "lifecycle" in query and not self.lifecycle:
            return Refusal(status=501, code="NotImplemented", sentence="no lifecycle rules here")
        return None

    def is_hurt(self, said: str | None, body: bytes) -> bool:
        """True when the body is not the one whose Content-MD5 was said."""
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        return said is not None and said != base64.b64encode(digest).decode()

    def own_answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        """The answer to what rclone does not know: rules, the list of versions, one version."""
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        bucket = _bucket(path)
        for rule in KEPT_RULES:
            if rule in query:
                return self._rule(method, bucket, rule, body)
        if "list-type" in query and self.listing is not None:
            return 200, self.listing
        if "versions" in query:
            return 200, self._listing(query.get("prefix", [""])[0])
        if method == "DELETE" and "versionId" in query:
            with self._lock:
                wanted = query["versionId"][0]
                self.versions = [v for v in self.versions if v.version_id != wanted]
                for version in self.versions:  # the last one of a key is what readers see
                    others = [v for v in self.versions if v.key == version.key]
                    version.is_latest = version is others[-1]
            return 204, b""
        return None

    def remember(self, method: str, path: str, size_bytes: int) -> None:
        """A request that rclone has answered with success."""
        key, query = _key(path), parse_qs(urlsplit(path).query, keep_blank_values=True)
        if not key:
            return
        upload = query.get("uploadId", [""])[0]
        with self._lock:
            if method == "PUT" and upload:
                self._parts.setdefault(upload, {})[query["partNumber"][0]] = size_bytes
            elif method == "PUT":
                self._add(key, size_bytes, is_marker=False)
            elif method == "POST" and upload:
                total = sum(self._parts.pop(upload, {}).values())
                self._add(key, total, is_marker=False)
            elif method == "DELETE" and not upload and "versionId" not in query:
                self._add(key, 0, is_marker=True)

    def _add(self, key: str, size_bytes: int, *, is_marker: bool) -> None:
        for version in self.versions:
            if version.key == key:
                version.is_latest = False
        self._made += 1
        self.versions.append(
            Version(
                key=key,
                version_id=f"4_z{self._made:06}",
                size_bytes=size_bytes,
                is_marker=is_marker,
            )
        )

    def _rule(self, method: str, bucket: str, rule: str, body: bytes) -> tuple[int, bytes]:
        with self._lock:
            if method == "PUT":
                self.rules[bucket, rule] = body
                return 200, b""
            if method == "DELETE":
                self.rules.pop((bucket, rule), None)
                return 204, b""
            kept = self.rules.get((bucket, rule))
        if kept is None:
            code = {"cors": "NoSuchCORSConfiguration"}.get(rule, "NoSuchLifecycleConfiguration")
            return 404, error_body(code, "there is none")
        return 200, kept

    def _listing(self, prefix: str) -> bytes:
        with self._lock:
            newest_first = reversed([v for v in self.versions if v.key.startswith(prefix)])
            shown = sorted(newest_first, key=lambda version: version.key)
        entries = "".join(
            f"<{'DeleteMarker' if v.is_marker else 'Version'}><Key>{escape(v.key)}</Key>"
            f"<VersionId>{v.version_id}</VersionId><IsLatest>{str(v.is_latest).lower()}</IsLatest>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{v.size_bytes}</Size>"
            f"</{'DeleteMarker' if v.is_marker else 'Version'}>"
            for v in shown
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult '
            'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>'
            f"{entries}</ListVersionsResult>"
        ).encode()


def _bucket(path: str) -> str:
    return unquote(urlsplit(path).path.lstrip("/").partition("/")[0])


def _key(path: str) -> str:
    return unquote(urlsplit(path).path.lstrip("/").partition("/")[2])


def _capability(method: str, path: str) -> str:
    if method == "GET" and not _key(path):
        return "list"
    return {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(method, "write")
