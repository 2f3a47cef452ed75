import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2_resources.keys import KeyRefusedError
from b2_resources.s3_config import S3Config
from b2_resources.s3_signing import S3Signing
from b2_resources.signing import (
    LocalSigning,
    SigningStore,
    TokenRefusedError,
    disposition_of,
    signing_secret,
)
from outreach_core.errors import PermanentError

HOUR = timedelta(hours=1)
LOCAL = LocalSigning(secret=b"s" * 64, api_url="http://127.0.0.1:8000/")
S3 = S3Signing(
    S3Config(
        endpoint="https://s3.us-west-004.backblazeb2.com",
        region="us-west-004",
        key_id="004aaaaaaaaaaaaaaaaaaaaaa",
        application_key="K004bbbbbbbbbbbbbbbbbbbbbbbbbbb",
        bucket="my-bucket",
    )
)
BOTH = pytest.mark.parametrize("signing", [LOCAL, S3], ids=["local", "s3"])


def token_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def now() -> datetime:
    return datetime.now(UTC)


@BOTH
@pytest.mark.parametrize("valid_for", [timedelta(0), timedelta(days=8), timedelta(days=-1)])
def test_times_that_cannot_be_are_refused(signing: SigningStore, valid_for: timedelta) -> None:
    with pytest.raises(PermanentError, match="valid for"):
        signing.sign_download("k", valid_for=valid_for)
    with pytest.raises(PermanentError, match="valid for"):
        signing.sign_upload("k", content_type="a/b", size_bytes=1, valid_for=valid_for)


@BOTH
def test_hostile_keys_types_and_names_are_refused(signing: SigningStore) -> None:
    with pytest.raises(KeyRefusedError):
        signing.sign_download("../k", valid_for=HOUR)
    with pytest.raises(KeyRefusedError):
        signing.sign_upload("/k", content_type="a/b", size_bytes=1, valid_for=HOUR)
    with pytest.raises(PermanentError, match="content type"):
        signing.sign_upload("k", content_type="a/b\r\nx: y", size_bytes=1, valid_for=HOUR)
    with pytest.raises(PermanentError, match="bytes"):
        signing.sign_upload("k", content_type="a/b", size_bytes=-1, valid_for=HOUR)
    with pytest.raises(PermanentError, match="file name"):
        signing.sign_download("k", valid_for=HOUR, filename='a"\r\nb')


def test_s3_urls_are_version_4_and_bound() -> None:
    signed = S3.sign_upload("a b/ü.csv", content_type="text/csv", size_bytes=7, valid_for=HOUR)
    parts = urlsplit(signed.url)
    query = parse_qs(parts.query)
    assert parts.netloc == "s3.us-west-004.backblazeb2.com"
    assert unquote(parts.path) == "/my-bucket/a b/ü.csv"
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert "/us-west-004/s3/" in query["X-Amz-Credential"][0]
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
    assert query["X-Amz-Expires"] == ["3600"]
    assert "K004" not in signed.url
    assert signed.url not in repr(signed)


def test_a_token_grants_what_was_signed() -> None:
    signed = LOCAL.sign_upload("a/ü.csv", content_type="text/csv", size_bytes=7, valid_for=HOUR)
    grant = LOCAL.grant_of(token_of(signed.url), method="PUT", key="a/ü.csv", now=now())
    assert (grant.content_type, grant.size_bytes) == ("text/csv", 7)
    assert signed.url.startswith("http://127.0.0.1:8000/signed/a/%C3%BC.csv?")


def test_a_token_grants_nothing_else() -> None:
    token = token_of(LOCAL.sign_download("k", valid_for=HOUR, filename="x.csv"))
    assert LOCAL.grant_of(token, method="GET", key="k", now=now()).filename == "x.csv"
    other = LocalSigning(secret=b"t" * 64, api_url="http://127.0.0.1:8000")
    for attempt in (
        lambda: LOCAL.grant_of(token, method="PUT", key="k", now=now()),
        lambda: LOCAL.grant_of(token, method="GET", key="l", now=now()),
        lambda: LOCAL.grant_of(token, method="GET", key="k", now=now() + HOUR),
        lambda: other.grant_of(token, method="GET", key="k", now=now()),
        lambda: LOCAL.grant_of("", method="GET", key="k", now=now()),
        lambda: LOCAL.grant_of("ü.ü", method="GET", key="k", now=now()),
    ):
        with pytest.raises(TokenRefusedError, match="not valid"):
            attempt()


@given(at=st.integers(min_value=0, max_value=150), put=st.characters(codec="ascii"))
def test_an_altered_token_is_refused(at: int, put: str) -> None:
    token = token_of(LOCAL.sign_download("k", valid_for=HOUR))
    altered = token[:at] + put + token[at + 1 :]
    if altered != token:
        with pytest.raises(TokenRefusedError):
            LOCAL.grant_of(altered, method="GET", key="k", now=now())


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "urls"
    first = signing_secret(path)
    assert signing_secret(path) == first
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["urls"]
    path.write_text("short")
    with pytest.raises(PermanentError, match="holds no secret"):
        signing_secret(path)


def test_a_file_name_in_any_script_is_told() -> None:
    assert disposition_of("ü b.csv") == "attachment; filename*=UTF-8''%C3%BC%20b.csv"
