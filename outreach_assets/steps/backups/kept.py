"""A policy's folder at a destination, opened to read from; and which destination answers first.

What is in it is laid out by back_up.py: `files`, `versions/<version>`, `runs`; for an
encrypted policy all of it below `encrypted`.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event

from outreach_assets.steps.backups.as_it_was import FILES, Kept
from outreach_assets.steps.backups.listing import listing_options
from outreach_assets.steps.backups.places import (
    DestinationPlace,
    SourcePlace,
    destination_place,
    rclone_for,
)
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, rclone_program
from outreach_assets.steps.backups.run_notes import RunNote, read_notes
from outreach_core.destinations import Destination
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.settings import Settings

LAID_OUT = {FILES, "versions"}
ENCRYPTED = "encrypted"


class BothKindsError(PermanentError):
    """Plain and encrypted files of a policy are there, and nobody has said which are wanted."""


class NothingAnswersError(RetryableError):
    """No destination that could have the policy's files answers and has them."""


@dataclass(frozen=True, kw_only=True)
class KeptFolder:
    """What a running rclone sees of it, in the clear."""

    rclone: Rclone
    destination: Destination
    folder_id: str
    at: DestinationPlace

    def fs(self, below: str) -> str:
        """A folder in it as rclone names it, such as `files`."""
        return self.at.clear(below)

    def folders(self, below: str = "") -> list[str]:
        """The names of folders there. Raises NotThereError, RcloneError."""
        opt = {"dirsOnly": True, "noModTime": True}
        asked = self.rclone.ask("operations/list", fs=self.fs(below), remote="", opt=opt)
        return [str(found["Name"]) for found in asked.elements()]

    def listed(self, below: str, kinds: Sequence[str] = ()) -> dict[str, Kept]:
        """All files in a folder there, with their first hash of those kinds; none without it."""
        opt = listing_options(kinds)
        asked = self.rclone.ask("operations/list", fs=self.fs(below), remote="", opt=opt)
        try:
            return {
                found["Path"]: Kept(
                    below=below,
                    size_bytes=found["Size"],
                    hash=first_hash(found.get("Hashes") or {}),
                )
                for found in asked.elements()
            }
        except NotThereError:
            return {}

    def notes(self) -> list[RunNote]:
        """What runs have noted there, oldest first."""
        return read_notes(self.rclone, self.fs("runs"))

    def kinds(self) -> tuple[list[str], list[str]]:
        """The hashes it tells at once, and those it would read whole files for."""
        says = self.rclone.call("operations/fsinfo", fs=self.fs(FILES))
        kinds = list(says["Hashes"])
        return ([], kinds) if says["Features"]["SlowHash"] else (kinds, [])


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which policy's folder to open, and what the policy says of it."""

    settings: Settings
    folder_id: str
    encrypted: bool | None
    """None: nobody knows, and it is looked for at the destination."""

    source: SourcePlace | None = None
    """The policy's own folder, which its rclone sees as well."""


@contextmanager
def opened(wanted: Wanted, destination: Destination) -> Iterator[KeptFolder]:
    """The folder, for as long as the block lasts.

    Raises NotThereError when there is none, BothKindsError, RcloneError, and SettingsError without
    the passphrase that it needs.
    """
    settings, folder_id = wanted.settings, wanted.folder_id
    program = rclone_program(settings.outreach_rclone)
    encrypted = wanted.encrypted
    if encrypted is None:
        encrypted = _is_encrypted(wanted, destination)
    at = destination_place(settings, program, destination, folder_id, encrypted=encrypted)
    with rclone_for(settings, program, destination, wanted.source, at) as rclone:
        yield KeptFolder(rclone=rclone, destination=destination, folder_id=folder_id, at=at)


def _is_encrypted(wanted: Wanted, destination: Destination) -> bool:
    with opened(replace(wanted, encrypted=False), destination) as kept:
        try:
            folders = set(kept.folders())
        except NotThereError:
            folders = set()
    is_plain, is_encrypted = bool(folders & LAID_OUT), ENCRYPTED in folders
    if is_plain and is_encrypted:
        raise BothKindsError(
            f"{destination.name} has plain and encrypted files of {wanted.folder_id}: say "
            "--encrypted or --plain"
        )
    if not is_plain and not is_encrypted:
        raise NotThereError(f"{destination.name} has nothing of {wanted.folder_id}")
    return is_encrypted


def by_answer(
    wanted: Wanted, destinations: Sequence[Destination]
) -> tuple[list[Destination], dict[str, str]]:
    """The first to answer that it has the policy, then those still unheard; and why others do not.

    All are asked at the same time. Raises NothingAnswersError.
    """
    running: list[Rclone] = []
    has_answered = Event()
    refused: dict[str, str] = {}

    def ask(destination: Destination) -> None:
        with opened(wanted, destination) as kept:
            running.append(kept.rclone)
            if has_answered.is_set():
                kept.rclone.stop()
            check_is_there(kept)

    def hush() -> None:
        has_answered.set()
        for rclone in tuple(running):
            rclone.stop()

    with ThreadPoolExecutor(len(destinations)) as threads:
        asked = {threads.submit(ask, one): one for one in destinations}
        try:
            for answer in as_completed(asked):
                one = asked[answer]
                try:
                    answer.result()
                except OutreachError as error:
                    refused[one.name] = str(error)
                    continue
                rest = [d for d in destinations if d != one and d.name not in refused]
                return [one, *rest], refused
        finally:
            hush()
    raise NothingAnswersError(
        f"no destination has {wanted.folder_id!r} and answers: "
        + "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
    )


def check_is_there(kept: KeptFolder) -> None:
    """Raises NotThereError when there is no such folder, RcloneError when nobody answers."""
    try:
        folders = kept.folders()
    except NotThereError:
        folders = []
    if not LAID_OUT & set(folders):
        raise NotThereError(f"{kept.destination.name} has nothing of {kept.folder_id}")


def first_hash(hashes: Mapping[str, str]) -> str | None:
    """The first there is, `md5:…`."""
    return next((f"{kind}:{value}" for kind, value in sorted(hashes.items()) if value), None)
