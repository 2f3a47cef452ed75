"""What requests and responses about backups look like, with examples."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from outreach_api.schemas import Shown, Strict, plain
from outreach_core.file_destinations import FileStatus, PlaceSummary
from outreach_core.file_search import FoundFile
from outreach_core.policies import FolderPolicy, Source

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain)]
Pattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(plain)]
Patterns = Annotated[list[Pattern], Field(max_length=1000)]

POLICY_EXAMPLE: dict[str, JsonValue] = {
    "name": "Contracts",
    "source": "local",
    "path": "/srv/contracts",
    "destinations": ["aws_s3", "backblaze_b2"],
    "recursive": True,
    "enabled": True,
    "include": [],
    "exclude": ["*.tmp"],
    "keep_versions": True,
    "encrypted": False,
}
SEEN_AT: dict[str, JsonValue] = {
    "synced_at": "2026-11-22T01:15:40Z",
    "proven_at": "2026-11-26T01:15:38Z",
}


class PolicyWanted(Strict):
    """All that is decided for a folder; what is not said has its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [POLICY_EXAMPLE]})

    name: Name
    """For people."""

    source: Source = Source.LOCAL
    path: Annotated[str, Field(max_length=4096), AfterValidator(plain)]
    """Of the folder: absolute for local ones, `name:path` for remotes."""

    destinations: Annotated[list[Name], Field(min_length=1, max_length=50)]
    """Names of `GET /destinations`."""

    recursive: bool = True
    """False: only the folder's own files."""

    enabled: bool = True
    include: Patterns = Field(default_factory=list)
    """In rclone's words; with none, every file that is not excluded."""

    exclude: Patterns = Field(default_factory=list)
    keep_versions: bool = True
    """Whether the destination keeps what was replaced or deleted."""

    encrypted: bool = False

    def policy(self, folder_id: str) -> FolderPolicy:
        """The same as the project knows it."""
        values = self.model_dump(exclude={"folder_id"})
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return FolderPolicy(**{**values, **lists, "folder_id": folder_id})


class NewPolicy(PolicyWanted):
    """The same with what it is called by from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"folder_id": "contracts", **POLICY_EXAMPLE}]}
    )

    folder_id: Name
    """Letters, digits, `-`, `_` and `.`."""


class PolicyShown(Shown):
    """A policy."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"folder_id": "contracts", **POLICY_EXAMPLE}]}
    )

    folder_id: str
    name: str
    source: Source
    path: str
    destinations: Sequence[str]
    recursive: bool
    enabled: bool
    include: Sequence[str]
    exclude: Sequence[str]
    keep_versions: bool
    encrypted: bool


class PolicyList(Shown):
    """All policies, by their folders."""

    policies: Sequence[PolicyShown]


class DestinationShown(Shown):
    """Where backups can go."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "scaleway",
                    "place": None,
                    "is_set_up": False,
                    "problem": "set OUTREACH_BACKUP_SCALEWAY_BUCKET",
                }
            ]
        }
    )

    name: str
    place: str | None
    """The bucket and prefix, or the folder."""

    is_set_up: bool
    problem: str | None
    """Why it cannot be used; null when nothing is known against it."""


class DestinationList(Shown):
    """All destinations, also those that are not set up."""

    destinations: Sequence[DestinationShown]


class AtDestinationShown(Shown):
    """How a file is at a destination."""

    destination: str
    status: FileStatus
    size_bytes: int
    hash: str | None
    """Of the source when it was last looked at, `md5:…`."""

    remote_path: str | None
    error: str | None
    attempts: int
    synced_at: datetime | None
    proven_at: datetime | None
    """When the destination answered with that hash last."""


class FileShown(Shown):
    """A file, and where it is."""

    folder_id: str
    path: str
    """Below the policy's folder."""

    destinations: Sequence[AtDestinationShown]


class FileList(Shown):
    """A page of files, by policy and path."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "files": [
                        {
                            "folder_id": "contracts",
                            "path": "2026/offer.pdf",
                            "destinations": [
                                {
                                    "destination": "aws_s3",
                                    "status": "synced",
                                    "size_bytes": 48213,
                                    "hash": "md5:9e107d9d372bb6826bd81d3542a419d6",
                                    "remote_path": "bucket/contracts/files/2026/offer.pdf",
                                    "error": None,
                                    "attempts": 0,
                                    **SEEN_AT,
                                }
                            ],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        },
    )

    files: Sequence[FileShown]
    next_cursor: str | None
    """For the next page; null on the last."""


class PlaceShown(Shown):
    """How a policy's files are at a destination."""

    folder_id: str
    destination: str
    pending: int
    synced: int
    failed: int
    deleted: int
    synced_bytes: int
    synced_at: datetime | None
    proven_at: datetime | None
    bytes_proven: int
    """So many of the synced ones were read and found right within thirty days."""

    error: str | None
    """Why the newest of the failed ones failed."""


class BackupSummary(Shown):
    """How all backups are."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "policies": 2,
                    "enabled": 2,
                    "files": {"synced": 1200, "pending": 0, "failed": 3, "deleted": 17},
                    "synced_bytes": 1288490188,
                    "places": [
                        {
                            "folder_id": "contracts",
                            "destination": "aws_s3",
                            "pending": 0,
                            "synced": 1200,
                            "failed": 3,
                            "deleted": 17,
                            "synced_bytes": 1288490188,
                            "bytes_proven": 1176,
                            "error": "aws_s3 cannot be listed",
                            **SEEN_AT,
                        }
                    ],
                }
            ]
        },
    )

    policies: int
    enabled: int
    files: dict[FileStatus, int]
    """By status, each file once for each of its destinations; of removed policies too."""

    synced_bytes: int
    places: Sequence[PlaceShown]


def shown_policy(policy: FolderPolicy) -> PolicyShown:
    """A policy as an administrator sees it."""
    return PolicyShown.model_validate(vars(policy))


def shown_file(file: FoundFile) -> FileShown:
    """A file as an administrator sees it."""
    places = [in_utc(one._asdict()) for one in file.destinations]
    return FileShown.model_validate({**file.place._asdict(), "destinations": places})


def shown_summary(
    policies: Sequence[FolderPolicy], places: Sequence[PlaceSummary]
) -> BackupSummary:
    """The policies and their places as an administrator sees them."""
    counts = {status: sum(getattr(one, status.value) for one in places) for status in FileStatus}
    return BackupSummary(
        policies=len(policies),
        enabled=sum(policy.enabled for policy in policies),
        files=counts,
        synced_bytes=sum(one.synced_bytes for one in places),
        places=[PlaceShown.model_validate(in_utc(one._asdict())) for one in places],
    )


def in_utc(values: dict[str, object]) -> dict[str, object]:
    """The same with every moment in UTC."""
    return {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
