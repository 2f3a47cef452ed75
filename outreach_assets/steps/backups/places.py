"""A policy's source and its destination as rclone names them, with what each needs to be reached.

Destinations themselves are described in outreach_core/destinations.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from b2_resources.build_store import STORE_FOLDER
from outreach_assets.steps.backups.rclone import (
    NotThereError,
    Rclone,
    RcloneError,
    rclone_program,
)
from outreach_core.destinations import Destination
from outreach_core.errors import SettingsError
from outreach_core.google_drive import drive_remote, drive_secrets
from outreach_core.policies import FolderPolicy, Source
from outreach_core.settings import Settings, StorageMode

TO, STORE, DRIVE = "to", "store", "drive"
"""What rclone calls the destination, the project's own object store, and Google Drive."""


@dataclass(frozen=True, kw_only=True)
class SourcePlace:
    """A policy's folder."""

    fs: str
    """As rclone names it."""

    remotes: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What rclone's configuration would say of it; holds the secrets."""


def source_place(settings: Settings, policy: FolderPolicy) -> SourcePlace:
    """Raises SettingsError when a setting is missing for it."""
    match policy.source:
        case Source.LOCAL:
            return SourcePlace(fs=_as_it_is_written(policy.path))
        case Source.STORE:
            return _store(settings, policy.path)
        case Source.GOOGLE_DRIVE:
            fs = f"{DRIVE}:{policy.path.strip('/')}"
            return SourcePlace(fs=fs, remotes={DRIVE: drive_remote(settings)})
        case Source.REMOTE if settings.outreach_rclone_config is None:
            raise SettingsError(
                f"policy {policy.folder_id}: set OUTREACH_RCLONE_CONFIG, which its remote is in"
            )
    return SourcePlace(fs=policy.path)


def rclone_for(
    settings: Settings, program: str, destination: Destination, source: SourcePlace | None = None
) -> Rclone:
    """An rclone that knows the destination and the source; not started yet."""
    remotes = dict(source.remotes) if source else {}
    if not destination.remote:
        remotes[TO] = destination.rclone
    limits = destination.limits
    return Rclone(
        program,
        remotes=remotes,
        options={
            "transfers": str(limits.transfers),
            "checkers": str(max(8, limits.transfers)),
            "bwlimit": limits.bandwidth or "off",
            "links": "true",  # a link is kept as a small file: nothing is lost, and none is a loop
            # Two names that differ only in their form of Unicode are two files, and both arrive.
            "no-unicode-normalization": "true",
            "contimeout": "15s",
            # Of the S3 library and of rclone itself, so 4 times in all; more of them take minutes
            # to say that a destination is dead, and whole files are tried again after that.
            "low-level-retries": "2",
        },
        config=settings.outreach_rclone_config,
        secret=[
            *(says.get("secret_access_key", "") for says in remotes.values()),
            *drive_secrets(remotes.get(DRIVE, {})),
        ],
    )


def unreachable(settings: Settings, destination: Destination) -> str | None:
    """Why the destination cannot be used now; None when it answers."""
    if destination.missing:
        return destination.missing
    root = destination.root.partition("/")[0] if "type" in destination.rclone else ""
    is_bucket = destination.rclone.get("type") == "s3"
    fs = f"{destination.remote or TO}:{root if is_bucket else destination.root}"
    with rclone_for(settings, rclone_program(settings.outreach_rclone), destination) as rclone:
        try:
            for _ in rclone.ask("operations/list", fs=fs, remote="", opt={}).objects():
                break
        except NotThereError:
            return f"there is no bucket {root}: make it first" if is_bucket else None
        except RcloneError as error:
            return str(error)
    return None


def _as_it_is_written(path: str) -> str:
    """The folder by the name that the disk has it under, which may be another form of Unicode."""
    forms = (path, normalize("NFC", path), normalize("NFD", path))
    return next((form for form in forms if Path(form).exists()), path)


def _store(settings: Settings, prefix: str) -> SourcePlace:
    if settings.store_mode is StorageMode.LOCAL:
        return SourcePlace(fs=str(settings.home / STORE_FOLDER / prefix.strip("/")))
    key = settings.b2_application_key
    says = {
        "type": "s3",
        "provider": "Other",
        "access_key_id": settings.b2_key_id or "",
        "secret_access_key": key.get_secret_value() if key else "",
        "region": settings.b2_region or "",
        "endpoint": settings.b2_endpoint or "",
        "no_check_bucket": "true",
    }
    fs = f"{STORE}:{settings.b2_bucket}/{prefix.strip('/')}".rstrip("/")
    return SourcePlace(fs=fs, remotes={STORE: says})
