"""Where a bucket is and how to get in, and the library's store made from it.

The one place that knows how this project talks to an S3 server; docs/decisions/0003 says why so.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from obstore.store import S3Store as Bucket

from outreach_core.errors import SettingsError

MAX_RETRIES = 8
THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True)
class S3Config:
    """One bucket on any S3 server. Raises SettingsError for an endpoint that would show secrets."""

    endpoint: str
    """`https://s3.<region>.backblazeb2.com`; http only for this machine."""
    region: str
    key_id: str
    application_key: str = field(repr=False)
    bucket: str
    answer_seconds: float = 120
    """How long a request may stay without an answer, the sending of its body included."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                f"B2_ENDPOINT is {self.endpoint!r}: expected https://s3.<region>.backblazeb2.com"
            )
        if parts.scheme == "http" and parts.hostname not in THIS_MACHINE:
            raise SettingsError(
                f"B2_ENDPOINT is {self.endpoint!r}: http shows everything to everyone on the way, "
                "and is taken for this machine only; write https://"
            )
        for name in ("region", "key_id", "application_key", "bucket"):
            if not getattr(self, name).strip():
                raise SettingsError(f"B2_{name.upper()} is empty")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold."""
        return (self.application_key, self.key_id)


def bucket_of(config: S3Config) -> Bucket:
    """The library's store. It opens no connection yet.

    Every option that it would otherwise take from an AWS_ variable of the environment, and that
    could send the bytes elsewhere or add what B2 refuses, is given here.
    """
    secret = {
        "access_key_id": config.key_id,
        "secret_access_key": config.application_key,
        "expires_at": None,
    }
    endpoint = config.endpoint.rstrip("/")
    return Bucket(
        config.bucket,
        config={
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # goes before `endpoint`, also from the environment
            "region": config.region,
            "virtual_hosted_style_request": False,
            "skip_signature": False,
            "unsigned_payload": False,
            "s3_express": False,
            "request_payer": False,
            "disable_tagging": True,  # B2 answers 400 to x-amz-tagging
            "disable_bulk_delete": True,  # DeleteObjects needs a checksum header B2 refused
        },
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=config.answer_seconds),
            # For the whole of a request: a stream of many GB takes long and is no failure.
            "timeout": timedelta(hours=12),
            "user_agent": "outreach-workbench",
        },
        retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=150)},
        # Through a callback and not the configuration, which the library shows and pickles.
        credential_provider=lambda: secret,  # type: ignore[arg-type]
    )
