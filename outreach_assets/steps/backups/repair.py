"""What a verification found not as it was at one destination is brought there again, and proven.

From the source where it is still the same file, otherwise from another destination whose copy is
proven. That one is moved as it lies there, encrypted or not: its hash proves it at the other end.
What is there instead is written over: it never came from us. Several at once: repair_run.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from outreach_assets.steps.backups.encryptions import refuse_other_passphrase
from outreach_assets.steps.backups.job import Job, alone
from outreach_assets.steps.backups.listed_there import HashKinds, known_kinds
from outreach_assets.steps.backups.listing import ask_listing, listed
from outreach_assets.steps.backups.mover import DestinationLostError, Mover, only
from outreach_assets.steps.backups.places import FROM
from outreach_assets.steps.backups.prove import prove
from outreach_assets.steps.backups.rclone import RcloneError
from outreach_core.encrypted_destinations import ProvenFile, copies_at
from outreach_core.file_proofs import Fault, faults

SOURCE = "source"
NO_COPY = "the source has it no more as it was, and no other destination has a proven copy"


class Unrepaired(NamedTuple):
    """A file that is still not as it was, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What became of the faults of a policy at a destination."""

    folder_id: str
    destination: str
    faults: int = 0
    repaired: int = 0
    """Proven afterwards."""

    origins: Mapping[str, int] = field(default_factory=dict)
    """How many of them came from `source`, or from which destination."""

    unreachable: Mapping[str, str] = field(default_factory=dict)
    """Where good copies may be too, and why nobody could look."""

    left: Sequence[Unrepaired] = ()
    seconds: float = 0.0
    error: str | None = None
    """Why it was not tried."""

    @property
    def is_done(self) -> bool:
        """True when nothing is left to repair."""
        return self.error is None and not self.left


class _Origin(NamedTuple):
    """Where good copies are, as rclone names it, and where they go."""

    name: str
    fs: str
    target: str


def repair(job: Job) -> Repair:
    """Bring again what has a fault there; good copies may be in the source and at `job.others`.

    Raises PlaceBusyError, OtherPassphraseError, NoHashError, PolicyGoneError, and what talking to
    rclone or Postgres raises. What is recorded for each file is true all the same.
    """
    with alone(job) as still_wanted:
        refuse_other_passphrase(job)
        kinds = known_kinds(job)
        found = _faults(job)
        mover = Mover(job.rclone, job.reached, still_wanted)
        origins, unreachable = {}, {}
        for origin in _origins(job):
            try:
                origins[origin.name] = _repaired_from(job, origin, mover, kinds)
            except (RcloneError, DestinationLostError) as error:
                unreachable[origin.name] = str(error)
        left = _faults(job)
    return Repair(
        folder_id=job.policy.folder_id,
        destination=job.destination.name,
        faults=len(found),
        repaired=len(found) - len(left),
        origins={name: count for name, count in origins.items() if count},
        unreachable=unreachable,
        left=[Unrepaired(path, _reason(fault)) for path, fault in left.items()],
    )


def _origins(job: Job) -> Iterator[_Origin]:
    yield _Origin(SOURCE, f"{FROM}:", job.at.files)
    for name, place in job.others.items():
        yield _Origin(name, place.held_files, job.at.held_files)


def _repaired_from(job: Job, origin: _Origin, mover: Mover, kinds: HashKinds) -> int:
    """How many of those that still have a fault came from there, and are proven.

    Raises RcloneError or DestinationLostError; what came until then is recorded.
    """
    before = _faults(job)
    copies = _copies(job, origin, before, kinds)
    if not copies:
        return 0
    job.step(f"repairing from {origin.name}")
    lost = None
    try:
        mover.send(origin.fs, origin.target, list(copies))
    except (RcloneError, DestinationLostError) as error:
        lost = error
    said = {path: job.rclone.errors.get(path) for path in copies}
    damaged = [path for path in copies if before[path].fault == "damaged"]
    known = () if origin.name == SOURCE else copies.values()
    says = f"it could not be brought from {origin.name}: {lost}" if lost else None
    prove(job, said, kinds, damaged=damaged, known=known, lost=says)
    if lost:
        raise lost
    return len(before) - len(_faults(job))


def _copies(
    job: Job, origin: _Origin, found: Mapping[str, Fault], kinds: HashKinds
) -> dict[str, ProvenFile]:
    """Of the files with a fault, those that are good there."""
    if origin.name != SOURCE:
        with job.postgres.connect() as connection:
            copies = copies_at(connection, job.place, origin.name, kinds.there)
        return {file.path: file for file in copies}
    with only(job.rclone, found) as these:
        asked = ask_listing(job.rclone, origin.fs, kinds.source, only=these)
        files = list(listed(asked, kinds.source))
    return {
        path: ProvenFile(path, hash_, "")
        for path, _, hash_ in files
        if path in found and hash_ == found[path].hash
    }


def _faults(job: Job) -> dict[str, Fault]:
    with job.postgres.connect() as connection:
        return {fault.path: fault for fault in faults(connection, job.place)}


def _reason(fault: Fault) -> str:
    """What was said when it was tried; a fault that begins with its own name was not."""
    return NO_COPY if fault.error.startswith(fault.fault) else fault.error
