from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from b2_resources.s3_signature import query_string, signature_headers

texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1
)
values = st.text(st.sampled_from("abc XYZ 0%+~-_.;,=&"), min_size=1).map(str.strip)


@given(key=texts, value=values, prefix=texts)
def test_it_signs_as_botocore_does(key: str, value: str, prefix: str) -> None:
    path, query = quote(f"/bucket/{key}"), [("prefix", prefix), ("list-type", "2"), ("acl", "")]
    headers = {"host": "s3.example.test", "x-amz-meta-v": value, "content-type": "a/b"}
    access = ("us-west-004", "KEYID", "SECRET")
    ours = signature_headers(
        method="GET",
        path=path,
        query=query,
        headers=headers,
        sha256="UNSIGNED-PAYLOAD",
        access=access,
        now=datetime.now(UTC),
    )
    url = f"https://s3.example.test{path}?{query_string(query)}"
    request = AWSRequest(
        "GET", url, headers={**headers, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    )
    auth = S3SigV4Auth(Credentials("KEYID", "SECRET"), "s3", "us-west-004")
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    assert ours["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize("secret", ["SECRET"])
def test_the_secret_is_not_in_the_headers(secret: str) -> None:
    headers = signature_headers(
        method="PUT",
        path="/b/k",
        query=[],
        headers={"host": "h"},
        sha256="x",
        access=("r", "id", secret),
        now=datetime.now(UTC),
    )
    assert secret not in str(headers)
