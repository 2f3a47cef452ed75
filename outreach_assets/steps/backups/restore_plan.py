"""Which files a restore wants, and which of them a destination offers.

What the table knows of them is in outreach_core/restorable_files.py, what lay there at a time in
as_it_was.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from unicodedata import normalize

from outreach_assets.steps.backups.as_it_was import FILES, Held, as_of, sent_hashes, version_of
from outreach_assets.steps.backups.fetch import Offer, listed_in
from outreach_assets.steps.backups.kept import KeptFolder, first_hash
from outreach_core.restorable_files import RecordedFile

LINK = ".rclonelink"
"""What rclone appends to the name of a link, which it keeps as a small file."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants back."""

    path: str | None
    """A file, or a folder and all below it; None is everything."""

    at: datetime | None
    """As it was then; None is the newest."""

    recorded: Mapping[str, RecordedFile] | None
    """What the table knows; None when it is not asked."""

    @property
    def version(self) -> str | None:
        """The time as versions are written."""
        return version_of(self.at) if self.at else None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a destination can give of a wish."""

    offers: Mapping[str, Offer]
    of: Mapping[str, int]
    """How many files there are in each place that they are offered from, also unwanted ones."""

    missing: Mapping[str, str]
    """Files it should have and has not, with the hash that the table knows."""

    lost: Sequence[str]
    """Files of that time that a later run replaced or removed without keeping them."""

    outdated: Sequence[str]
    """Files whose newest content was never backed up."""

    unproven: Sequence[str]
    """Files that nobody but the destination says anything of."""

    version: str | None
    """The run that left it so, for a wish at a time."""


def planned(kept: KeptFolder, wish: Wish) -> Plan:
    """Look what is there. Raises UnknownTimeError and what talking to rclone raises."""
    # A folder on a disk reads every file to tell its hash: only where nobody else knows one.
    at_once, slow = kept.kinds()
    held = _held(kept, wish, at_once)
    takes = _taker(wish.path)
    recorded = {} if wish.at else wish.recorded or {}
    offers: dict[str, Offer] = {}
    unproven = []
    for path, file in held.files.items():
        known = recorded.get(path)
        if not takes(path) or (known and known.is_deleted):
            continue
        hashes = frozenset([known.hash]) if known and known.hash else held.sent.get(path)
        if not hashes:
            unproven.append(path)
            hashes = frozenset([file.hash] if file.hash else [])
        offers[path] = Offer(kept=file, hashes=hashes)
    if slow:
        offers |= _as_it_says(kept, {path: offers[path] for path in unproven}, slow)
    return Plan(
        offers=offers,
        of=held.of,
        missing={
            path: known.hash
            for path, known in recorded.items()
            if known.hash and path not in offers and takes(path)
        },
        lost=[path for path in held.lost if takes(path)],
        outdated=sorted(p for p, known in recorded.items() if known.is_outdated and takes(p)),
        unproven=unproven,
        version=held.version,
    )


def _held(kept: KeptFolder, wish: Wish, kinds: Sequence[str]) -> Held:
    newest = kept.listed(FILES, kinds)
    if wish.version is None:
        notes = [] if wish.recorded else kept.notes()
        return Held(files=newest, of={FILES: len(newest)}, lost=[], sent=sent_hashes(notes))
    later = [version for version in _versions(kept) if version > wish.version]
    versions = {version: kept.listed(f"versions/{version}", kinds) for version in later}
    return as_of(wish.version, newest, versions, kept.notes())


def _as_it_says(
    kept: KeptFolder, offers: Mapping[str, Offer], kinds: Sequence[str]
) -> dict[str, Offer]:
    """The same with the hash that the destination tells of each."""
    found = {}
    for below in sorted({offer.kept.below for offer in offers.values()}):
        paths = [path for path, offer in offers.items() if offer.kept.below == below]
        for one in listed_in(kept.rclone, kept.fs(below), paths, kinds[:1]):
            said = first_hash(one.get("Hashes") or {})
            hashes = frozenset([said] if said else [])
            found[one["Path"]] = replace(offers[one["Path"]], hashes=hashes)
    return found


def _versions(kept: KeptFolder) -> list[str]:
    return kept.folders("versions") if "versions" in kept.folders() else []


def _taker(wanted: str | None) -> Callable[[str], bool]:
    whole = normalize("NFC", (wanted or "").strip("/"))
    if not whole:
        return lambda _: True
    names = {whole, whole + LINK}

    def takes(path: str) -> bool:
        said = normalize("NFC", path)
        return said in names or said.startswith(f"{whole}/")

    return takes
