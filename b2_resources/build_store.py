"""Configuration in, store out: the only place that knows storage modes."""

from dataclasses import replace
from pathlib import Path

from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.s3_config import S3Config
from outreach_core.errors import SettingsError
from outreach_core.settings import Settings, StorageMode

HYBRID_PATIENCE_SECONDS = 20
STORE_FOLDER = "store"
"""Below OUTREACH_HOME: the root of the local store."""


def build_store(settings: Settings) -> ObjectStore:
    """The store that the settings name. Opens no connection yet. Raises SettingsError."""
    key = settings.b2_application_key
    return open_store(
        mode=settings.store_mode,
        local_root=settings.home / STORE_FOLDER,
        endpoint=settings.b2_endpoint or "",
        region=settings.b2_region or "",
        key_id=settings.b2_key_id or "",
        application_key=key.get_secret_value() if key else "",
        bucket=settings.b2_bucket or "",
    )


def open_store(  # noqa: PLR0913 the settings of a store, by name
    *,
    mode: StorageMode,
    local_root: Path,
    endpoint: str,
    region: str,
    key_id: str,
    application_key: str,
    bucket: str,
) -> ObjectStore:
    """The store of that mode. What the mode does not use may be empty."""

    def config() -> S3Config:
        return S3Config(
            endpoint=endpoint,
            region=region,
            key_id=key_id,
            application_key=application_key,
            bucket=bucket,
        )

    match mode:
        case StorageMode.LOCAL:
            return LocalStore(local_root)
        case StorageMode.S3:
            # Here and not above: a folder needs no S3 library.
            from b2_resources.s3_store import S3Store  # noqa: PLC0415

            return S3Store(config())
        case StorageMode.HYBRID:
            from b2_resources.hybrid_store import HybridStore  # noqa: PLC0415
            from b2_resources.s3_store import S3Store  # noqa: PLC0415

            # There is another way to go on, so nobody need wait for minutes.
            far = S3Store(replace(config(), patience_seconds=HYBRID_PATIENCE_SECONDS))
            return HybridStore(near=LocalStore(local_root), far=far)


def parse_mode(mode: str) -> StorageMode:
    """The mode by its name. Raises SettingsError."""
    try:
        return StorageMode(mode.strip().lower())
    except ValueError:
        wanted = ", ".join(StorageMode)
        raise SettingsError(f"STORAGE_MODE is {mode!r}: expected one of {wanted}") from None
