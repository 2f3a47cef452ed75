"""The settings of the backup's destinations: the fields, and what each must look like.

`Settings` in settings.py takes them in. What they open is in destinations.py. A destination has a
bucket (with a prefix behind it), an address, a key, and options that all destinations know.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from outreach_core.setting_values import THIS_MACHINE, bucket_name, key_prefix, region_name

SHORTEST_PASSPHRASE = 12
OPTIONS = "storage_class, bandwidth, transfers"
BANDWIDTH = re.compile(r"\d+(\.\d+)?[BKMGT]?(:(off|\d+(\.\d+)?[BKMGT]?))?|off")


def bucket_and_prefix(value: str) -> str:
    """`bucket` or `bucket/prefix`."""
    bucket, _, prefix = value.partition("/")
    bucket_name(bucket)
    key_prefix(prefix)
    return value.rstrip("/")


def s3_endpoint(value: str) -> str:
    """Where an S3 server listens, without account or bucket."""
    form = "expected https:// and a host alone; the bucket goes into …_BUCKET"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/"):
        raise ValueError(form)
    if parts.username is not None:
        raise ValueError("holds an account: the key goes into …_KEY_ID and …_SECRET")
    if parts.scheme == "http" and host not in THIS_MACHINE:
        raise ValueError("http shows everything to everyone on the way: write https://")
    return value


def options(value: object) -> object:
    """`storage_class=STANDARD_IA,bandwidth=10M,transfers=16`."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for pair in value.split(","):
        name, equals, said = (part.strip() for part in pair.partition("="))
        if not equals or name in found or not _is_option(name, said):
            raise ValueError(
                f"expected any of {OPTIONS}, such as "
                "storage_class=STANDARD_IA,bandwidth=10M,transfers=16"
            )
        found[name] = said
    return found


def _is_option(name: str, said: str) -> bool:
    match name:
        case "storage_class":
            return re.fullmatch(r"[A-Z0-9_]+", said) is not None
        case "bandwidth":
            return BANDWIDTH.fullmatch(said) is not None
        case "transfers":
            return said.isdigit() and 1 <= int(said) <= 256
    return False


TAKEN = (
    "aws_s3",
    "backblaze_b2",
    "scaleway",
    "local",
    "neon",
    "neon_drill",
    "verified",
    "restore_drill",
)
"""Names that a remote cannot have here: other destinations', and of assets beside them."""


def asset_name(destination: str) -> str:
    """A destination's name in the graph, where only letters, digits and _ can be."""
    return re.sub(r"[^A-Za-z0-9_]", "_", destination)


def remotes(value: object) -> object:
    """`name:path` of each remote, with commas between them."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for one in value.split(","):
        name, colon, path = one.strip().partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_][\w .+@-]*", name) or name in found:
            raise ValueError("expected name:path of each remote, such as dropbox:backups")
        if asset_name(name) in (*TAKEN, *map(asset_name, found)):
            raise ValueError(f"{name} is too near to another's name: call that remote otherwise")
        found[name] = path.strip("/")
    return found


def passphrase(value: SecretStr) -> SecretStr:
    """What people can write down, and nobody guesses."""
    said = value.get_secret_value()
    if len(said) < SHORTEST_PASSPHRASE or not said.isprintable():
        raise ValueError(f"expected {SHORTEST_PASSPHRASE} or more letters, digits and signs")
    return value


def drive_token(value: SecretStr) -> SecretStr:
    """What `rclone authorize drive` printed."""
    try:
        said = json.loads(value.get_secret_value())
    except ValueError:
        said = None
    if not isinstance(said, dict) or not said.get("refresh_token"):
        raise ValueError(
            'expected the JSON that `rclone authorize "drive"` prints, with a refresh_token'
        )
    return value


Bucket = Annotated[str, AfterValidator(bucket_and_prefix)] | None
Endpoint = Annotated[str, AfterValidator(s3_endpoint)] | None
Region = Annotated[str, AfterValidator(region_name)] | None
Options = Annotated[Mapping[str, str], NoDecode, BeforeValidator(options)]
Passphrase = Annotated[SecretStr, AfterValidator(passphrase)] | None
Remotes = Annotated[Mapping[str, str], NoDecode, BeforeValidator(remotes)]


class BackupSettings(BaseSettings):
    """What the environment says of backups."""

    outreach_backup_aws_s3_bucket: Bucket = None
    outreach_backup_aws_s3_endpoint: Endpoint = None
    outreach_backup_aws_s3_region: Region = None
    outreach_backup_aws_s3_key_id: str | None = None
    outreach_backup_aws_s3_secret: SecretStr | None = None
    outreach_backup_aws_s3_options: Options = Field(default_factory=dict)

    outreach_backup_backblaze_b2_bucket: Bucket = None
    outreach_backup_backblaze_b2_endpoint: Endpoint = None
    outreach_backup_backblaze_b2_region: Region = None
    outreach_backup_backblaze_b2_key_id: str | None = None
    outreach_backup_backblaze_b2_secret: SecretStr | None = None
    outreach_backup_backblaze_b2_options: Options = Field(default_factory=dict)

    outreach_backup_scaleway_bucket: Bucket = None
    outreach_backup_scaleway_endpoint: Endpoint = None
    outreach_backup_scaleway_region: Region = None
    outreach_backup_scaleway_key_id: str | None = None
    outreach_backup_scaleway_secret: SecretStr | None = None
    outreach_backup_scaleway_options: Options = Field(default_factory=dict)

    outreach_backup_local_folder: Path | None = None
    outreach_backup_local_options: Options = Field(default_factory=dict)
    outreach_backup_remotes: Remotes = Field(default_factory=dict)
    outreach_backup_remotes_options: Options = Field(default_factory=dict)

    outreach_backup_database_keep: int = Field(default=14, ge=1)
    outreach_backup_database_keep_days: int = Field(default=30, ge=0, le=36500)
    outreach_backup_passphrase: Passphrase = None
    outreach_backup_salt: Passphrase = None
    outreach_backup_verify_share: float = Field(default=0.25, ge=0, le=1, allow_inf_nan=False)
    outreach_google_drive_service_account_file: Path | None = None
    outreach_google_drive_token: Annotated[SecretStr, AfterValidator(drive_token)] | None = None
    outreach_google_drive_client_id: str | None = None
    outreach_google_drive_client_secret: SecretStr | None = None
    outreach_google_drive_root_folder_id: str | None = None
    outreach_google_drive_team_drive: str | None = None

    outreach_rclone: Path | None = None
    outreach_rclone_config: Path | None = None
