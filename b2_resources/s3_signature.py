"""Signature version 4, by botocore, for requests we send ourselves.

Signed URLs for others are in s3_signing.py.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from b2_resources.s3_config import S3Config

UNSIGNED = "UNSIGNED-PAYLOAD"
"""Instead of the body's sha256, where something else proves the body."""

Query = Sequence[tuple[str, str]]


def target_of(path: str, query: Query) -> str:
    """Path and query, percent-encoded: as they are sent, which is also as they are signed."""
    sent = urlencode(sorted(query), quote_via=quote, safe="")
    return quote(path, safe="/") + (f"?{sent}" if sent else "")


class _Auth(S3SigV4Auth):
    """botocore would read the body for its hash again; we have it already, or want none."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])


class Signer:
    """Signs for one bucket's key."""

    def __init__(self, config: S3Config) -> None:
        parts = urlsplit(config.endpoint)
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        self._auth = _Auth(Credentials(config.key_id, config.application_key), "s3", config.region)

    def headers(
        self, method: str, target: str, headers: Mapping[str, str], sha256: str
    ) -> dict[str, str]:
        """These and the signature's; names are lower-case. `sha256` is the body's, or UNSIGNED."""
        request = AWSRequest(method, self._endpoint + target, headers=dict(headers))
        request.context["sha256"] = sha256
        self._auth.add_auth(request)
        return {name.lower(): value for name, value in request.headers.items()}
