"""Where a bucket is and how to get in. How it is spoken to is in the other s3_ files."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from outreach_core.errors import SettingsError

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
    answer_seconds: float = 60
    """How long the other side may stay silent before the connection counts as dead."""
    patience_seconds: float = 60
    """How long one request may be tried again; a try that has begun is let finish."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.username or parts.password:
            raise SettingsError("B2_ENDPOINT holds a user or a password: they go into B2_KEY_ID …")
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

    @property
    def max_parts(self) -> int:
        """How many parts an upload may have there."""
        return 1_000 if "scw.cloud" in self.endpoint else 10_000
