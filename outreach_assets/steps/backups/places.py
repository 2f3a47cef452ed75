"""A policy's source and its destination as rclone names them, with what each needs to be reached.

Destinations themselves are described in outreach_core/destinations.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from b2_resources.build_store import STORE_FOLDER
from outreach_assets.steps.backups.crypt import Cipher, cipher_of
from outreach_assets.steps.backups.rclone import (
    NotThereError,
    Rclone,
    RcloneError,
    obscured,
    rclone_program,
)
from outreach_core.destinations import Destination
from outreach_core.errors import SettingsError
from outreach_core.google_drive import drive_remote, drive_secrets
from outreach_core.policies import FolderPolicy, Source
from outreach_core.settings import Settings, StorageMode

TO, STORE, DRIVE = "to", "store", "drive"
"""What rclone calls the destination, the project's own object store, and Google Drive."""

FROM, CLEAR, HELD = "from", "clear", "held"
"""The source; an encrypted policy's folder, decrypted, and its newest files as they lie there."""

LINKS = ":local,links=true:"
"""A folder of this machine where a link is a small file: nothing is lost, and none is a loop."""

SECRETS = ("secret_access_key", "password", "password2")


@dataclass(frozen=True, kw_only=True)
class SourcePlace:
    """A policy's folder."""

    fs: str
    """As rclone names it."""

    remotes: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What rclone's configuration would say of it; holds the secrets."""

    is_local: bool = False


def source_place(settings: Settings, policy: FolderPolicy) -> SourcePlace:
    """Raises SettingsError when a setting is missing for it."""
    match policy.source:
        case Source.LOCAL:
            return SourcePlace(fs=_as_it_is_written(policy.path), is_local=True)
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


@dataclass(frozen=True, kw_only=True)
class DestinationPlace:
    """A policy's folder at a destination, in the clear and as it lies there.

    To read or write its files, name them by `files` and `versions(…)`: rclone decrypts and encrypts
    by itself where the policy says so, and what these list has clear sizes (and then no hashes).
    What is listed with hashes, moved or removed without being read is `held_files` and
    `held_versions(…)`: the same paths, as they lie there.

        place = destination_place(settings, program, destination, "docs", encrypted=True)
        with rclone_for(settings, program, destination, None, place) as rclone:
            rclone.call("operations/list", fs=place.files, remote="")
            rclone.start_job("sync/copy", srcFs=place.versions("20260101000000"), dstFs="/srv/back")

    What else lies there (`clear("runs")`, `held("runs")`) is named in the same two ways.
    """

    folder: str
    """The destination's folder of this policy, without the remote's name."""

    remote: str
    """The destination as rclone calls it."""

    cipher: Cipher | None = None
    """None where nothing is encrypted."""

    suffix: str = ""
    """What tells its remotes from those of other destinations of the same rclone."""

    remotes: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What rclone's configuration would say of it; holds the secrets."""

    @property
    def root(self) -> str:
        """The files' folder, without the remote's name."""
        return f"{self.folder}/files"

    @property
    def files(self) -> str:
        """The newest files, in the clear."""
        return self.clear("files")

    @property
    def held_files(self) -> str:
        """The newest files, as they lie there."""
        return self.held("files")

    def versions(self, version: str) -> str:
        """What a run replaced or removed, in the clear."""
        return self.clear(f"versions/{version}")

    def held_versions(self, version: str) -> str:
        """The same, as it lies there."""
        return self.held(f"versions/{version}")

    def clear(self, below: str) -> str:
        """Any folder below the policy's, such as `runs`, in the clear."""
        remote = f"{CLEAR}{self.suffix}:" if self.cipher else f"{self.remote}:{self.folder}/"
        return f"{remote}{below.removesuffix('/')}/" if below else remote

    def held(self, below: str) -> str:
        """The same, as it lies there."""
        # Without the / it would ask whether this is a file, for minutes where nobody answers.
        return f"{self.remote}:{self.folder}/{below}/"


def destination_place(
    settings: Settings,
    program: str,
    destination: Destination,
    folder_id: str,
    *,
    encrypted: bool,
    suffix: str = "",
) -> DestinationPlace:
    """Where a policy's files lie. Raises SettingsError when there is no passphrase to encrypt.

    `suffix`: another for each of several destinations that one rclone is to know.
    """
    remote = destination.remote or f"{TO}{suffix}"
    folder = destination.folder_of(folder_id, encrypted=encrypted)
    remotes = {} if destination.remote else {remote: destination.rclone}
    plain = DestinationPlace(folder=folder, remote=remote, suffix=suffix, remotes=remotes)
    if not encrypted:
        return plain
    passphrase, salt = (
        secret.get_secret_value() if secret else ""
        for secret in (settings.outreach_backup_passphrase, settings.outreach_backup_salt)
    )
    if not passphrase:
        raise SettingsError(
            f"policy {folder_id} is encrypted: set OUTREACH_BACKUP_PASSPHRASE, and keep it "
            f"elsewhere too, or switch that off: `outreach policies set {folder_id} --plain`"
        )
    says = {
        "type": "crypt",
        "remote": f"{remote}:{folder}",
        "filename_encryption": "off",
        "directory_name_encryption": "false",
        "suffix": "none",
        "password": obscured(program, passphrase),
        "password2": obscured(program, salt) if salt else "",
    }
    held = {"type": "alias", "remote": f"{remote}:{folder}/files"}
    crypt = {f"{CLEAR}{suffix}": says, f"{HELD}{suffix}": held}
    return replace(plain, cipher=cipher_of(passphrase, salt), remotes={**remotes, **crypt})


def rclone_for(
    settings: Settings,
    program: str,
    destination: Destination,
    source: SourcePlace | None = None,
    *places: DestinationPlace,
) -> Rclone:
    """An rclone that knows the destination, the source and the policy's places; not started yet."""
    remotes = dict(source.remotes) if source else {}
    for place in places:
        remotes |= place.remotes
    if not destination.remote:
        remotes[TO] = destination.rclone
    if source:
        links = LINKS if source.is_local else ""
        remotes[FROM] = {"type": "alias", "remote": f"{links}{source.fs}"}
        is_encrypted = any(place.cipher for place in places)
        if is_encrypted and not source.is_local and destination.rclone.get("type") == "s3":
            # Of what came in parts S3 tells no hash, and nobody knows it before it is encrypted.
            remotes[TO] = {**destination.rclone, "upload_cutoff": "5G"}
    limits = destination.limits
    return Rclone(
        program,
        remotes=remotes,
        options={
            "transfers": str(limits.transfers),
            "checkers": str(max(8, limits.transfers)),
            "bwlimit": limits.bandwidth or "off",
            # Links become links again there, but for an encrypted one, which leads nowhere.
            "local-links": "false" if any(place.cipher for place in places) else "true",
            # Two names that differ only in their form of Unicode are two files, and both arrive.
            "no-unicode-normalization": "true",
            "contimeout": "15s",
            # Of the S3 library and of rclone itself, so 4 times in all; more of them take minutes
            # to say that a destination is dead, and whole files are tried again after that.
            "low-level-retries": "2",
        },
        config=settings.outreach_rclone_config,
        secret=[
            *(says[name] for says in remotes.values() for name in SECRETS if says.get(name)),
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
            for _ in rclone.ask("operations/list", fs=fs, remote="", opt={}).elements():
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
