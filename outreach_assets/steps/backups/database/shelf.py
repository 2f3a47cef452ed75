"""The versions of the database's backup at one destination: put there, listed, fetched, removed.

`<root>/neon/<version>/` or, with a passphrase, `<root>/neon/encrypted/<version>/`, beside the
policies' folders. A version is there once its manifest is, which comes last; what has none was cut
short and counts for nothing.
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
from outreach_assets.steps.backups.places import CLEAR, DestinationPlace
from outreach_assets.steps.backups.rclone import NotThereError, Rclone, RcloneError
from outreach_core.destinations import Destination
from outreach_core.errors import PermanentError, SettingsError
from outreach_core.policies import NEON

ENCRYPTED = "encrypted/"
"""How the paths of encrypted versions begin; names are not encrypted, so all can be listed."""

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
    place: DestinationPlace
    """Whether it encrypts, and how."""

    mover: Mover

    def put(self, folder: Path, receipt: Receipt) -> None:
        """Bring the files there, prove them, and the manifest after them.

        Raises DestinationLostError, or BackupDamagedError when the destination holds other bytes.
        """
        self.versions()  # one that does not answer is found out once, and not for each file
        target = self._readable(self._own(receipt.version))
        for names in ([table.file for table in receipt.tables], [RECEIPT]):
            self.mover.send(str(folder), target, names)
            self._refuse_errors(names)
            self._prove(str(folder), target, names)

    def versions(self) -> dict[str, str]:
        """Those that are whole, the oldest first, with their paths. Raises DestinationLostError."""
        rules = [f"+ /*/{RECEIPT}", f"+ /{ENCRYPTED}*/{RECEIPT}", "- *"]
        found = [path.removesuffix(f"/{RECEIPT}") for path in self._listed("", rules, **FILES)]
        return dict(sorted((path.removeprefix(ENCRYPTED), path) for path in found))

    def path_of(self, version: str | None = None) -> str:
        """Where that version lies, or the newest. Raises NoSuchBackupError or what listing does."""
        there = self.versions()
        wanted = version or (max(there) if there else "")
        if wanted not in there:
            says = f"has no version {version}" if there else "holds no backup of the database"
            raise NoSuchBackupError(
                f"{self.destination.name} {says}: see `outreach backup database --list`"
            )
        return there[wanted]

    def receipt(self, path: str, folder: Path) -> Receipt:
        """The manifest of the version that lies there.

        Raises ReceiptUnreadableError, DestinationLostError, or SettingsError when it is encrypted
        and there is no passphrase.
        """
        self._fetch(path, [RECEIPT], folder)
        return read_receipt((folder / RECEIPT).read_bytes())

    def fetch(self, path: str, receipt: Receipt, folder: Path) -> None:
        """All its files into the folder, each proven by its sha256.

        Raises BackupDamagedError naming those that are not what they were, or DestinationLostError.
        """
        self._fetch(path, [table.file for table in receipt.tables], folder)
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

    def prune(self, keep: Keep, now: datetime, newest: str) -> list[str]:
        """Remove what is beyond, and what was cut short before `newest`, which is whole here."""
        whole = self.versions()
        if whole.get(newest) != self._own(newest):
            raise BackupDamagedError(f"{self.destination.name}: version {newest} has gone again")
        to_go = [whole[version] for version in keep.beyond(list(whole), now)]
        for below in ("", ENCRYPTED):
            folders = {f"{below}{name}" for name in self._listed(below, dirsOnly=True)}
            cut_short = {path for path in folders if _is_version(path)} - set(whole.values())
            to_go += sorted(path for path in cut_short if path.removeprefix(ENCRYPTED) < newest)
        for path in to_go:
            # The manifest first, so that half of it counts for nothing.
            fs = f"{self._held}{path}/"
            self._asked("operations/delete", fs=fs, _filter=_only(RECEIPT))
            self._asked("operations/purge", fs=self._held, remote=path)
        return to_go

    @property
    def _held(self) -> str:
        """Where all of them lie, as rclone names it."""
        root = "/".join(part for part in (self.destination.root, NEON) if part)
        return f"{self.place.remote}:{root}/"

    def _own(self, version: str) -> str:
        """The path of a version that is put there now."""
        return f"{ENCRYPTED if self.place.cipher else ''}{version}"

    def _readable(self, path: str) -> str:
        """A version's files in the clear, as rclone names them."""
        if not path.startswith(ENCRYPTED):
            return f"{self._held}{path}/"
        if self.place.cipher is None:
            raise SettingsError(
                f"{path} at {self.destination.name} is encrypted: set OUTREACH_BACKUP_PASSPHRASE "
                "(and OUTREACH_BACKUP_SALT, if there was one) as they were then"
            )
        return f"{CLEAR}:{path.removeprefix(ENCRYPTED)}/"

    def _listed(self, below: str, rules: Sequence[str] = (), **opt: bool) -> list[str]:
        filtered = {"FilterRule": list(rules)}
        fs = f"{self._held}{below}"
        try:
            asked = self.rclone.ask("operations/list", fs=fs, remote="", opt=opt, _filter=filtered)
            return [found["Path"] for found in asked.elements()]
        except NotThereError:
            return []
        except RcloneError as error:
            raise DestinationLostError(str(error)) from None

    def _fetch(self, path: str, names: Sequence[str], folder: Path) -> None:
        self.mover.run("sync/copy", self._readable(path), str(folder), names)
        self._refuse_errors(names)
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise BackupDamagedError(
                f"{self.destination.name}, version {path}: {', '.join(missing)} is not there"
            )

    def _prove(self, folder: str, target: str, names: Sequence[str]) -> None:
        here, there = self._hashes(folder, target)
        wrong = [name for name in names if not here[name] or there.get(name) != here[name]]
        if wrong:
            raise BackupDamagedError(
                f"{self.destination.name} holds other bytes than were sent: {', '.join(wrong)}"
            )

    def _hashes(self, here: str, there: str) -> list[Mapping[str, str | None]]:
        """The hashes of both by name; of what is read back where it is encrypted or knows none."""
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


def _is_version(path: str) -> bool:
    return path.removeprefix(ENCRYPTED).isdigit()


def _only(name: str) -> Mapping[str, object]:
    return {"FilterRule": [f"+ /{name}", "- *"]}
