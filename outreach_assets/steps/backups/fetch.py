"""Named files fetched from a destination into a folder of this machine, and proven there by hash.

Where they go afterwards is said by who calls: restore.py, drill.py.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.backups.as_it_was import Kept
from outreach_assets.steps.backups.kept import KeptFolder
from outreach_assets.steps.backups.listing import FILES as LISTING
from outreach_assets.steps.backups.mover import DestinationLostError, Moved, Mover, only
from outreach_assets.steps.backups.places import LINKS
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, RcloneError

Hashes = frozenset[str]
"""What a file may have, `md5:…`; with none of them, nobody can say what it must have."""

NOBODY_COUNTED: Mapping[str, int] = {}
NOT_THERE = "it is not there, or did not arrive"
DAMAGED = "what is there is not what was backed up"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A file that a destination has, and what it must be."""

    kept: Kept
    hashes: Hashes

    @property
    def is_other(self) -> bool:
        """True when the destination itself says that it is something else."""
        said = self.kept.hash
        kinds = {known.partition(":")[0] for known in self.hashes}
        return bool(said and said.partition(":")[0] in kinds and said not in self.hashes)


def fetch(
    kept: KeptFolder,
    offers: Mapping[str, Offer],
    folder: Path,
    reached: Callable[[Moved], None],
    *,
    of: Mapping[str, int] = NOBODY_COUNTED,
) -> dict[str, str]:
    """Bring these into the folder; why, for those that are not whole there at the end.

    `of`: how many files the destination has in each place. What has come there since may come too.
    """
    failed = {path: DAMAGED for path, offer in offers.items() if offer.is_other}
    wanted = {path: offer for path, offer in offers.items() if path not in failed}
    mover, into = Mover(kept.rclone, reached, _nobody_minds), with_links(folder)
    lost: str | None = None
    try:
        for below in sorted({offer.kept.below for offer in wanted.values()}):
            paths = [path for path, offer in wanted.items() if offer.kept.below == below]
            send = mover.send_folder if len(paths) == of.get(below) else mover.send
            send(kept.fs(below), into, paths)
    except (RcloneError, DestinationLostError) as error:
        lost = str(error)  # what has come until then is as good as any
    hashes = {path: offer.hashes for path, offer in wanted.items()}
    whole = whole_in(kept.rclone, into, hashes)
    lacking = hashes.keys() - whole.keys()
    arrived = {found["Path"] for found in listed_in(kept.rclone, into, lacking)}
    for path in lacking:
        unsaid = DAMAGED if path in arrived else lost or NOT_THERE
        failed[path] = kept.rclone.errors.get(path, unsaid)
    return failed


def with_links(folder: Path) -> str:
    """A folder of this machine as rclone names it, so that links are small files to it."""
    return f"{LINKS}{folder}"


def whole_in(rclone: Rclone, folder: str, files: Mapping[str, Hashes]) -> dict[str, int]:
    """Those of the files that are in the folder with one of their hashes, and their sizes.

    One of which nobody knows a hash is whole when it is there: rclone has checked it.
    """
    kinds = sorted({known.partition(":")[0] for hashes in files.values() for known in hashes})
    return {
        str(found["Path"]): int(found["Size"])
        for found in listed_in(rclone, folder, files, kinds)
        if _is_whole(found.get("Hashes") or {}, files[found["Path"]])
    }


def listed_in(
    rclone: Rclone, folder: str, paths: Iterable[str], kinds: Iterable[str] = ()
) -> list[dict]:  # type: ignore[type-arg]  # rclone's objects
    """Those of the paths that are files in a folder of this machine."""
    paths, kinds = list(paths), list(kinds)
    if not paths:
        return []
    opt = {**LISTING, "showHash": bool(kinds), "hashTypes": kinds}
    with only(rclone, paths) as these:
        asked = rclone.ask("operations/list", fs=folder, remote="", opt=opt, _filter=these)
        try:
            return list(asked.elements())
        except NotThereError:
            return []


def _is_whole(said: Mapping[str, str], hashes: Hashes) -> bool:
    return not hashes or any(f"{kind}:{value}" in hashes for kind, value in said.items())


def _nobody_minds() -> None:
    """A fetching goes on to its end."""
