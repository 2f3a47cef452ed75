"""A folder policy: which folder goes to which destinations, and which policy decides for a file.

Pure. Where policies are kept is in policy_table.py; what a destination is, in destinations.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from unicodedata import normalize

from outreach_core.errors import PermanentError
from outreach_core.path_patterns import compiled, matches

NEON = "neon"
"""Where the database's own backup lies at a destination; it has no policy, but a history."""


class Source(StrEnum):
    """What kind of place a policy's folder is in."""

    LOCAL = "local"
    """A folder of this machine."""

    STORE = "store"
    """Keys of the project's own object store."""

    GOOGLE_DRIVE = "google_drive"
    """A folder of Google Drive, by its path from OUTREACH_GOOGLE_DRIVE_ROOT_FOLDER_ID on."""

    REMOTE = "remote"
    """A remote of the rclone configuration that OUTREACH_RCLONE_CONFIG names: `name:path`."""


class WrongPolicyError(PermanentError):
    """A policy that says nothing, or something else than it seems to."""


@dataclass(frozen=True, kw_only=True)
class FolderPolicy:
    """What somebody has decided for one folder."""

    folder_id: str
    name: str
    path: str
    """Of the folder: absolute for local ones, `name:path` for remotes."""

    destinations: tuple[str, ...]
    source: Source = Source.LOCAL
    recursive: bool = True
    """False: only the folder's own files, not its subfolders."""

    enabled: bool = True
    include: tuple[str, ...] = ()
    """Patterns of path_patterns.py; with none, every file that is not excluded."""

    exclude: tuple[str, ...] = ()
    """These go before the included ones."""

    keep_versions: bool = True
    """Whether the destination keeps what was replaced or deleted."""

    encrypted: bool = False

    @property
    def components(self) -> tuple[str, ...]:
        """Of the folder's path."""
        return components(self.path, self.source)

    @property
    def fingerprint(self) -> str:
        """The same as long as all that was decided is."""
        return sha256(repr(sorted(vars(self).items())).encode()).hexdigest()[:32]

    def covers(self, path: str) -> bool:
        """True when the file's folder is this one or, for a recursive policy, one below it."""
        ours, its = self.components, components(path, self.source)
        if its[: len(ours)] != ours or len(its) <= len(ours):
            return False
        return self.recursive or len(its) == len(ours) + 1

    def takes(self, path: str) -> bool:
        """True when it covers the file and its patterns let it pass."""
        if not self.covers(path):
            return False
        below = "/".join(components(path, self.source)[len(self.components) :])
        if any(matches(pattern, below) for pattern in self.exclude):
            return False
        return not self.include or any(matches(pattern, below) for pattern in self.include)


def components(path: str, source: Source = Source.LOCAL) -> tuple[str, ...]:
    """The names a path is made of, in one form of Unicode; doubled and final `/` do not count."""
    remote, colon, below = path.partition(":") if source is Source.REMOTE else ("", "", path)
    names = [name for name in normalize("NFC", below).split("/") if name not in ("", ".")]
    return (remote, *names) if colon else tuple(names)


def path_key(policy: FolderPolicy) -> str:
    """The same text for every way to write the same folder."""
    return "/".join(["", *policy.components, ""])


def deciding_policy(
    policies: Iterable[FolderPolicy], source: Source, path: str
) -> FolderPolicy | None:
    """The most specific enabled policy that covers the file; None when there is none.

    Its patterns are its own affair: what it excludes, no wider policy takes instead.
    """
    able = [p for p in policies if p.enabled and p.source == source and p.covers(path)]
    return max(able, key=lambda policy: len(policy.components), default=None)


def destinations_of(policies: Iterable[FolderPolicy], source: Source, path: str) -> tuple[str, ...]:
    """Where the file goes; nowhere when no policy takes it."""
    decides = deciding_policy(policies, source, path)
    return decides.destinations if decides and decides.takes(path) else ()


def filter_rules(policy: FolderPolicy, policies: Iterable[FolderPolicy]) -> list[str]:
    """Rules for rclone that leave of the policy's folder just the files it decides for."""
    rules = [f"- {rule}" for rule in _decided_elsewhere(policy, policies)]
    if not policy.recursive:
        rules.append("- /*/**")
    rules += [f"- {form}" for pattern in policy.exclude for form in _forms(pattern)]
    return rules + included_rules(policy.include)


def included_rules(patterns: Iterable[str]) -> list[str]:
    """Rules for rclone that let only these pass, with what rclone makes of them put right.

    It would not look into folders that no included pattern begins with, though one such as
    `a/*.csv` may match below any; a regular expression makes it look into all.
    """
    included = [pattern + "**" if pattern.endswith("/") else pattern for pattern in patterns]
    if not included:
        return []
    rules = [f"+ {form}" for pattern in included for form in _forms(pattern)]
    return ["+ {{[^\\s\\S]}}", *rules, "- *"]


def _decided_elsewhere(policy: FolderPolicy, policies: Iterable[FolderPolicy]) -> Iterator[str]:
    ours = policy.components
    for other in policies:
        its = other.components
        is_inside = len(its) > len(ours) and its[: len(ours)] == ours
        if other.enabled and other.source == policy.source and is_inside:
            below = "/".join(_literal(name) for name in its[len(ours) :])
            yield from _forms(f"/{below}/{'**' if other.recursive else '*'}")


def _literal(name: str) -> str:
    """A name as a pattern that takes it alone."""
    return "".join(f"\\{c}" if c in "\\*?[]{}," else c for c in name)


def _forms(pattern: str) -> list[str]:
    """The pattern in both forms of Unicode: rclone compares bytes."""
    return sorted({pattern, normalize("NFC", pattern), normalize("NFD", pattern)})


def checked(policy: FolderPolicy) -> FolderPolicy:
    """The policy as it was given. Raises WrongPolicyError or WrongPatternError."""
    problem = next(_problems(policy), None)
    if problem:
        raise WrongPolicyError(f"policy {policy.folder_id!r}: {problem}")
    for pattern in (*policy.include, *policy.exclude):
        compiled(pattern)
    return policy


def _id_problems(policy: FolderPolicy) -> Iterator[str]:
    if not policy.folder_id or not all(c.isalnum() or c in "-_." for c in policy.folder_id):
        yield "a folder id has letters, digits, -, _ and . and nothing else"
    if policy.folder_id.startswith("."):
        yield "a folder id does not begin with a dot"
    if policy.folder_id == NEON:
        yield f"{NEON} is where the database's own backup lies"


def _problems(policy: FolderPolicy) -> Iterator[str]:
    yield from _id_problems(policy)
    if not policy.name.strip():
        yield "its name is empty"
    if not policy.destinations:
        yield "it names no destination: it would back up nothing"
    if len(set(policy.destinations)) < len(policy.destinations):
        yield "a destination is named twice"
    if any(ord(c) < ord(" ") for c in policy.path):
        yield "its path has a control character in it"
    if ".." in policy.path.split("/"):
        yield "its path has .. in it: write where it leads"
    if policy.source is Source.LOCAL and not policy.path.startswith("/"):
        yield f"the path of a local folder begins with /, and this is {policy.path!r}"
    if policy.source is Source.REMOTE and not policy.path.partition(":")[1]:
        yield f"the path on a remote is written name:path, and this is {policy.path!r}"
