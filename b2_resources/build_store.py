"""Configuration in, store out: the only place that knows storage modes."""

from dataclasses import replace
from pathlib import Path

from b2_resources.local_parts import LocalParts
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.part_uploads import PartUploads
from b2_resources.s3_config import S3Config
from b2_resources.signing import LocalSigning, SigningStore, signing_secret
from outreach_core.errors import SettingsError
from outreach_core.settings import Settings, StorageMode

HYBRID_PATIENCE_SECONDS = 20
API_URL = "http://127.0.0.1:8000"
"""Where `outreach dev` serves our API."""
SIGNING_FILE = "secrets/signed-urls"
STORE_FOLDER = "store"
"""Below OUTREACH_HOME: the root of the local store."""


def build_store(settings: Settings, mode: StorageMode | None = None) -> ObjectStore:
    """The store that the settings name, or their store of another mode. Raises SettingsError.

    Opens no connection yet.
    """
    key = settings.b2_application_key
    return open_store(
        mode=mode or settings.store_mode,
        local_root=settings.home / STORE_FOLDER,
        endpoint=settings.b2_endpoint or "",
        region=settings.b2_region or "",
        key_id=settings.b2_key_id or "",
        application_key=key.get_secret_value() if key else "",
        bucket=settings.b2_bucket or "",
    )


def build_signing(settings: Settings, *, api_url: str = API_URL) -> SigningStore:
    """Who signs URLs for that store: the bucket's provider, or our API at that address."""
    if settings.store_mode is StorageMode.LOCAL:
        secret = signing_secret(settings.home / SIGNING_FILE)
        return LocalSigning(secret=secret, api_url=api_url)
    # Here and not above: boto3 takes a second to import.
    from b2_resources.s3_signing import S3Signing  # noqa: PLC0415

    return S3Signing(s3_config_of(settings))


def part_uploads_of(store: ObjectStore) -> PartUploads:
    """Uploads in parts into that store; of a hybrid one into its bucket, which its reads ask first.

    Where the bucket cannot be reached nobody could send it a part.
    """
    if isinstance(store, LocalStore):
        return LocalParts(store)
    # Here and not above: a folder needs no S3 library.
    from b2_resources.hybrid_store import HybridStore  # noqa: PLC0415
    from b2_resources.s3_parts import S3Parts  # noqa: PLC0415
    from b2_resources.s3_store import S3Store  # noqa: PLC0415

    match store:
        case S3Store(client=client) | HybridStore(far=S3Store(client=client)):
            return S3Parts(client)
        case _:
            raise SettingsError("this store takes no uploads in parts")


def s3_config_of(settings: Settings) -> S3Config:
    """The bucket that the settings name, whatever the mode. Raises SettingsError for none."""
    key = settings.b2_application_key
    if key is None or not settings.b2_bucket:
        raise SettingsError(
            "this needs a bucket: set B2_ENDPOINT, B2_REGION, B2_KEY_ID, B2_APPLICATION_KEY and "
            "B2_BUCKET"
        )
    return S3Config(
        endpoint=settings.b2_endpoint or "",
        region=settings.b2_region or "",
        key_id=settings.b2_key_id or "",
        application_key=key.get_secret_value(),
        bucket=settings.b2_bucket,
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
