"""A policy's folder at a destination, opened to read from; and which destination answers first.

What is in it is laid out by back_up.py: `files`, `versions/<version>`, `runs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from outreach_assets.steps.backups.history import FILES, Kept
from outreach_assets.steps.backups.places import TO, SourcePlace, rclone_for
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, rclone_program
from outreach_assets.steps.backups.run_notes import RunNote, read_notes
from outreach_core.destinations import Destination
from outreach_core.errors import OutreachError, RetryableError
from outreach_core.settings import Settings

LISTING = {"recurse": True, "filesOnly": True, "noModTime": True, "noMimeType": True}


class NothingAnswersError(RetryableError):
    """No destination that could have the policy's files answers and has them."""


@dataclass(frozen=True, kw_only=True)
class KeptFolder:
    """What a running rclone sees of it, in the clear."""

    rclone: Rclone
    destination: Destination
    folder_id: str

    def fs(self, below: str) -> str:
        """A folder in it as rclone names it, such as `files`."""
        whole = f"{self.destination.root}/{self.folder_id}/{below}".strip("/")
        whole = f"/{whole}" if self.destination.root.startswith("/") else whole
        return f"{self.destination.remote or TO}:{whole}/"

    def folders(self, below: str = "") -> list[str]:
        """The names of folders there. Raises NotThereError, RcloneError."""
        opt = {"dirsOnly": True, "noModTime": True}
        asked = self.rclone.ask("operations/list", fs=self.fs(below), remote="", opt=opt)
        return [str(found["Name"]) for found in asked.objects()]

    def listed(self, below: str, kinds: Sequence[str] = ()) -> dict[str, Kept]:
        """All files in a folder there, with their first hash of those kinds; none without it."""
        opt = {**LISTING, "showHash": bool(kinds), "hashTypes": list(kinds)}
        asked = self.rclone.ask("operations/list", fs=self.fs(below), remote="", opt=opt)
        try:
            return {
                found["Path"]: Kept(
                    below=below,
                    size_bytes=found["Size"],
                    hash=first_hash(found.get("Hashes") or {}),
                )
                for found in asked.objects()
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


@contextmanager
def opened(
    settings: Settings,
    destination: Destination,
    folder_id: str,
    source: SourcePlace | None = None,
) -> Iterator[KeptFolder]:
    """The folder, for as long as the block lasts; its rclone sees the source as well."""
    program = rclone_program(settings.outreach_rclone)
    with rclone_for(settings, program, destination, source) as rclone:
        yield KeptFolder(rclone=rclone, destination=destination, folder_id=folder_id)


def by_answer(
    settings: Settings, destinations: Sequence[Destination], folder_id: str
) -> tuple[list[Destination], dict[str, str]]:
    """The first to answer that it has the policy, then those still unheard; and why others do not.

    All are asked at the same time. Raises NothingAnswersError.
    """
    running: list[Rclone] = []
    has_answered = Event()
    refused: dict[str, str] = {}

    def ask(destination: Destination) -> None:
        with opened(settings, destination, folder_id) as kept:
            running.append(kept.rclone)
            if has_answered.is_set():
                kept.rclone.stop()
            check_is_there(kept)

    with ThreadPoolExecutor(len(destinations)) as threads:
        asked = {threads.submit(ask, one): one for one in destinations}
        for answer in as_completed(asked):
            one = asked[answer]
            try:
                answer.result()
            except OutreachError as error:
                refused[one.name] = str(error)
                continue
            has_answered.set()
            for rclone in tuple(running):
                rclone.stop()
            rest = [d for d in destinations if d != one and d.name not in refused]
            return [one, *rest], refused
    raise NothingAnswersError(
        f"no destination has {folder_id!r} and answers: "
        + "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
    )


def check_is_there(kept: KeptFolder) -> None:
    """Raises NotThereError when there is no such folder, RcloneError when nobody answers."""
    try:
        folders = kept.folders()
    except NotThereError:
        folders = []
    if not {FILES, "versions"} & set(folders):
        raise NotThereError(f"it has nothing of {kept.folder_id}")


def first_hash(hashes: Mapping[str, str]) -> str | None:
    """The first there is, `md5:…`."""
    return next((f"{kind}:{value}" for kind, value in sorted(hashes.items()) if value), None)
