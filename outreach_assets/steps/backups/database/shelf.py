"""The versions of the database's backup at one destination: put there, listed, fetched, removed.

`<root>/neon/<version>/`, beside the policies' folders. A version is there once its manifest is,
which comes last; what has none was cut short and counts for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any  # rclone's answers are JSON objects of many shapes

from b2_resources.files import read_blocks, sha256_of
from outreach_assets.steps.backups.database.receipt import RECEIPT, Receipt, read_receipt
from outreach_assets.steps.backups.listing import FILES, ask_listing, listed
from outreach_assets.steps.backups.mover import DestinationLostError, Mover
from outreach_assets.steps.backups.places import TO
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, RcloneError
from outreach_core.destinations import Destination
from outreach_core.errors import PermanentError

NEON = "neon"
"""The folder at a destination, and what histories and logs call the database."""

HASHES = ("md5", "sha1", "sha256")
"""What a file here and there is compared by: the first that the destination knows."""


class NoSuchBackupError(PermanentError):
    """The destination holds no whole backup of the database, or not that version."""


class BackupDamagedError(PermanentError):
    """What the destination holds is not what was put there."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What stays at a destination in any case: a version goes only when it is beyond both."""

    versions: int
    """At least one."""

    days: int

    def beyond(self, versions: Sequence[str], now: datetime) -> list[str]:
        """Those of the versions that may go, the newest first."""
        cut = (now - timedelta(days=self.days)).strftime("%Y%m%d%H%M%S")
        newest_first = sorted(versions, reverse=True)
        return [version for version in newest_first[self.versions :] if version < cut]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """All versions at one destination, by an rclone that knows it."""

    rclone: Rclone
    destination: Destination
    mover: Mover

    def put(self, folder: Path, receipt: Receipt) -> None:
        """Bring the files there, prove them, and the manifest after them.

        Raises DestinationLostError, or BackupDamagedError when the destination holds other bytes.
        """
        self.versions()  # one that does not answer is found out once, and not for each file
        for names in ([table.file for table in receipt.tables], [RECEIPT]):
            self.mover.send(str(folder), self._fs(receipt.version), names)
            self._refuse_errors(names)
            self._prove(folder, receipt.version, names)

    def versions(self) -> list[str]:
        """Those that are whole, the oldest first. Raises DestinationLostError."""
        found = self._listed([f"+ /*/{RECEIPT}", "- *"], **FILES)
        return sorted(path.partition("/")[0] for path in found)

    def receipt(self, version: str | None, folder: Path) -> Receipt:
        """The manifest of that version, or of the newest.

        Raises NoSuchBackupError, ReceiptUnreadableError or DestinationLostError.
        """
        there = self.versions()
        wanted = version or (there[-1] if there else "")
        if wanted not in there:
            says = f"has no version {version}" if there else "holds no backup of the database"
            raise NoSuchBackupError(
                f"{self.destination.name} {says}: see `outreach backup database --list`"
            )
        self._fetch(wanted, [RECEIPT], folder)
        return read_receipt((folder / RECEIPT).read_bytes())

    def fetch(self, receipt: Receipt, folder: Path) -> None:
        """All its files into the folder, each proven by its sha256.

        Raises BackupDamagedError naming those that are not what they were, or DestinationLostError.
        """
        self._fetch(receipt.version, [table.file for table in receipt.tables], folder)
        damaged = [
            table.file
            for table in receipt.tables
            if sha256_of(read_blocks(folder / table.file)) != table.sha256
        ]
        if damaged:
            raise BackupDamagedError(
                f"{self.destination.name}, version {receipt.version}: {', '.join(damaged)} is not "
                "what was put there: take another version or destination"
            )

    def remove(self, version: str) -> None:
        """Its manifest first, so that half of it counts for nothing."""
        self._asked("operations/delete", fs=self._fs(version), _filter=_only(RECEIPT))
        self._asked("operations/purge", fs=self._fs(), remote=version)

    def prune(self, keep: Keep, now: datetime, newest: str) -> list[str]:
        """Remove what is beyond, and what was cut short before `newest`, which is whole here."""
        whole = self.versions()
        if newest not in whole:
            raise BackupDamagedError(f"{self.destination.name}: version {newest} has gone again")
        folders = {path for path in self._listed([], dirsOnly=True) if path.isdigit()}
        cut_short = sorted(path for path in folders - set(whole) if path < newest)
        to_go = [*keep.beyond(whole, now), *cut_short]
        for version in to_go:
            self.remove(version)
        return to_go

    def _fs(self, version: str = "") -> str:
        root = "/".join(part for part in (self.destination.root, NEON, version) if part)
        return f"{self.destination.remote or TO}:{root}/"

    def _listed(self, rules: Sequence[str], **opt: bool) -> list[str]:
        filtered = {"FilterRule": list(rules)}
        try:
            asked = self.rclone.ask(
                "operations/list", fs=self._fs(), remote="", opt=opt, _filter=filtered
            )
            return [found["Path"] for found in asked.objects()]
        except NotThereError:
            return []
        except RcloneError as error:
            raise DestinationLostError(str(error)) from None

    def _fetch(self, version: str, names: Sequence[str], folder: Path) -> None:
        self.mover.run("sync/copy", self._fs(version), str(folder), names)
        self._refuse_errors(names)
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise BackupDamagedError(
                f"{self.destination.name}, version {version}: {', '.join(missing)} is not there"
            )

    def _prove(self, folder: Path, version: str, names: Sequence[str]) -> None:
        here, there = self._hashes(str(folder), self._fs(version))
        wrong = [name for name in names if not here[name] or there.get(name) != here[name]]
        if wrong:
            raise BackupDamagedError(
                f"{self.destination.name} holds other bytes than were sent: {', '.join(wrong)}"
            )

    def _hashes(self, here: str, there: str) -> list[Mapping[str, str | None]]:
        """The hashes by name of both; of all bytes read back where the destination knows none."""
        known = self._asked("operations/fsinfo", fs=there)["Hashes"]
        kind = next((kind for kind in HASHES if kind in known), None)
        if kind:
            asked = [ask_listing(self.rclone, fs, kind) for fs in (here, there)]
            return [{file.path: file.hash for file in listed(one, kind)} for one in asked]
        how = {"hashType": "sha256", "download": True}
        sums = [self._asked("operations/hashsum", fs=fs, **how)["hashsum"] for fs in (here, there)]
        return [{line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in one} for one in sums]

    def _asked(self, command: str, **parameters: object) -> Mapping[str, Any]:
        try:
            return self.rclone.call(command, **parameters)
        except RcloneError as error:
            raise DestinationLostError(str(error)) from None

    def _refuse_errors(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self.rclone.errors:
                raise DestinationLostError(f"{name}: {self.rclone.errors[name]}")


def _only(name: str) -> Mapping[str, object]:
    return {"FilterRule": [f"+ /{name}", "- *"]}
