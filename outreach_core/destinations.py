"""Where backups can go: the destinations that the settings describe, and why one cannot be used.

What their settings must look like is in backup_settings.py; rclone itself is started in
outreach_assets/steps/backups/rclone.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from outreach_core.errors import SettingsError
from outreach_core.settings import Settings

S3_DESTINATIONS = ("aws_s3", "backblaze_b2", "scaleway")
"""Backblaze too by its S3 address, as everywhere here."""

BUCKET_PARTS = ("bucket", "endpoint", "region", "key_id", "secret")

LOCAL = "local"
LOCAL_FOLDER = "backups"
"""Below OUTREACH_HOME, when no other is named."""

DEFAULT_PREFIX = "backups"
"""In the bucket that B2_BUCKET names, which is not for backups alone."""

TRANSFERS = {"backblaze_b2": 32}
"""At once, where that is not rclone's own 4: Backblaze is slow for each file and takes many."""


class DestinationError(SettingsError):
    """A destination that nobody has set up, or not wholly."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a destination may take of the line, and how."""

    transfers: int = 4
    """Files at once."""

    bandwidth: str | None = None
    """Bytes a second in rclone's words, `10M`."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """One place for backups. `missing` says why it cannot be used; then there is no more to it."""

    name: str
    root: str = ""
    """The bucket and prefix, or the folder; files lie below it."""

    missing: str | None = None
    rclone: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its remote, as rclone's configuration would name it; holds the secrets."""

    remote: str | None = None
    """Or the remote's name in the user's own rclone configuration."""

    limits: Limits = Limits()

    def folder_of(self, folder_id: str, *, encrypted: bool) -> str:
        """Where all of a policy lies, without the remote's name: `files`, `versions` and `runs`."""
        return _joined(self.root, folder_id, "encrypted" if encrypted else "")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show."""
        return tuple(self.rclone[k] for k in ("secret_access_key",) if self.rclone.get(k))


def all_destinations(settings: Settings) -> dict[str, Destination]:
    """Every destination there can be, by name, also those that are not set up."""
    found = [_bucket(settings, name) for name in S3_DESTINATIONS]
    found.append(_folder(settings))
    found += [_remote(settings, name) for name in settings.outreach_backup_remotes]
    return {destination.name: destination for destination in found}


def destination_named(settings: Settings, name: str) -> Destination:
    """One that can be used. Raises DestinationError saying why not."""
    check_names(settings, [name])
    found = all_destinations(settings)[name]
    if found.missing:
        raise DestinationError(f"{name}: {found.missing}")
    return found


def check_names(settings: Settings, names: Iterable[str]) -> None:
    """Raise DestinationError for the first that is the name of none."""
    known = all_destinations(settings)
    for name in names:
        if name not in known:
            raise DestinationError(
                f"there is no destination {name!r}: known are {', '.join(known)}; a remote of your "
                "rclone configuration is named in OUTREACH_BACKUP_REMOTES"
            )


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _bucket(settings: Settings, name: str) -> Destination:
    prefix = f"outreach_backup_{name}_"
    said = {part: _plain(getattr(settings, prefix + part)) for part in BUCKET_PARTS}
    if name == "backblaze_b2":
        said = {part: said[part] or b2 for part, b2 in _b2_settings(settings).items()}
    if name == "scaleway" and said["region"] and not said["endpoint"]:
        said["endpoint"] = f"https://s3.{said['region']}.scw.cloud"
    # Amazon's address follows from the region.
    needed = [part for part in BUCKET_PARTS if part != "endpoint" or name == "backblaze_b2"]
    lacking = [(prefix + part).upper() for part in needed if not said[part]]
    if lacking:
        return Destination(name=name, missing=f"set {', '.join(lacking)}")
    options: Mapping[str, str] = getattr(settings, prefix + "options")
    is_amazon = name == "aws_s3" and not said["endpoint"]
    return Destination(
        name=name,
        root=said["bucket"],
        rclone={
            "type": "s3",
            "provider": "AWS" if is_amazon else "Scaleway" if name == "scaleway" else "Other",
            "access_key_id": said["key_id"],
            "secret_access_key": said["secret"],
            "region": said["region"],
            "endpoint": said["endpoint"],
            "storage_class": options.get("storage_class", ""),
            # The bucket is the user's: a key that may not create one need not.
            "no_check_bucket": "true",
            # What has arrived is listed with its hashes at the end: no question for each file.
            "no_head": "true",
        },
        limits=_limits(name, options),
    )


def _plain(value: str | SecretStr | None) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""


def _b2_settings(settings: Settings) -> dict[str, str]:
    """What holds where the destination has no setting of its own."""
    return {
        "bucket": f"{settings.b2_bucket}/{DEFAULT_PREFIX}" if settings.b2_bucket else "",
        "endpoint": settings.b2_endpoint or "",
        "region": settings.b2_region or "",
        "key_id": settings.b2_key_id or "",
        "secret": _plain(settings.b2_application_key),
    }


def _folder(settings: Settings) -> Destination:
    folder = settings.outreach_backup_local_folder
    root = settings.home / LOCAL_FOLDER if folder is None else folder.expanduser().absolute()
    return Destination(
        name=LOCAL,
        root=str(root),
        rclone={"type": "local"},
        limits=_limits(LOCAL, settings.outreach_backup_local_options),
    )


def _remote(settings: Settings, name: str) -> Destination:
    if settings.outreach_rclone_config is None:
        return Destination(name=name, missing="set OUTREACH_RCLONE_CONFIG, which it is named in")
    return Destination(
        name=name,
        root=settings.outreach_backup_remotes[name],
        remote=name,
        limits=_limits(name, settings.outreach_backup_remotes_options),
    )


def _limits(name: str, options: Mapping[str, str]) -> Limits:
    return Limits(
        transfers=int(options.get("transfers", TRANSFERS.get(name, 4))),
        bandwidth=options.get("bandwidth"),
    )
