"""Builders for tests of backups: a source, destinations by settings, a run, and what is where."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outreach_assets.steps.backups.back_up import Outcome
from outreach_assets.steps.backups.repair import Repair
from outreach_assets.steps.backups.repair_run import RepairRun
from outreach_assets.steps.backups.restore import Restore, Restored
from outreach_assets.steps.backups.run import BackupRun
from outreach_assets.steps.backups.verify import Sample, Verification
from outreach_assets.steps.backups.verify_run import VerifyRun
from outreach_core.audit import command_event
from outreach_core.migrate import migrate
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import add_policy, update_policy
from outreach_core.postgres import Postgres
from outreach_core.settings import load_settings
from tests.servers.rclone_s3 import REGION, RcloneS3

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROW = (
    "SELECT path, status, error, attempts, hash, remote_path, size_bytes, synced_at, proven_at, "
    "remote_hash, fault, bytes_proven_at"
)


class Quiet:
    """Progress for nobody; `steps` is what was heard."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def began(self, _policy: str, _destination: str, step: str) -> None:
        self.steps.append(step)

    def moved(self, *_: object) -> None:
        """Nothing."""


class Backups:
    """A source folder with one policy, and the settings of its destinations."""

    def __init__(self, postgres: Postgres, folder: Path, patch: pytest.MonkeyPatch) -> None:
        migrate(postgres)
        self.postgres = postgres
        self.patch = patch
        self.source = folder / "source"
        self.source.mkdir()
        self.home = folder / "home"
        self.progress = Quiet()
        patch.setenv("OUTREACH_HOME", str(self.home))
        self.policy = FolderPolicy(
            folder_id="docs", name="Docs", path=str(self.source), destinations=("local",)
        )
        add_policy(postgres, self.policy, command_event)

    def given_files(self, count: int, folder: str = "") -> None:
        for number in range(count):
            path = self.source / folder / f"d{number % 7}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"file {number}\n".encode() * (number % 50))

    def given_policy(self, **changes: object) -> None:
        self.policy = FolderPolicy(**{**vars(self.policy), **changes})
        update_policy(self.postgres, self.policy, command_event)

    def given_bucket(self, destination: str, endpoint: str, server: RcloneS3, bucket: str) -> None:
        for name, value in {
            "BUCKET": bucket,
            "ENDPOINT": endpoint,
            "REGION": REGION,
            "KEY_ID": server.key_id,
            "SECRET": server.application_key,
        }.items():
            self.patch.setenv(f"OUTREACH_BACKUP_{destination.upper()}_{name}", value)

    def given_another(self, folder_id: str, folder: Path, **changes: object) -> None:
        """A second, plain policy, with one file."""
        folder.mkdir()
        folder.joinpath("note").write_text("note")
        values = {**vars(self.policy), "encrypted": False, "folder_id": folder_id, **changes}
        add_policy(self.postgres, FolderPolicy(**{**values, "path": str(folder)}), command_event)

    def a_run(self, **how: object) -> BackupRun:
        return BackupRun(**self._how(), **how)

    def _how(self) -> dict[str, Any]:
        return {
            "postgres": self.postgres,
            "settings": load_settings(),
            "now": datetime.now(UTC),
            "progress": self.progress,
            "event": command_event,
        }

    def run(self, *, is_new_passphrase: bool = False, **which: str) -> dict[str, Outcome]:
        return {
            outcome.destination: outcome
            for outcome in self.a_run(is_new_passphrase=is_new_passphrase).run(**which)
        }

    def run_at(self, now: datetime) -> list[Outcome]:
        """As if it were then."""
        return replace(self.a_run(), now=now).run()

    def restore(self, to: Path, **how: object) -> Restored:
        return Restore(
            **{
                "postgres": self.postgres,
                "settings": load_settings(),
                "folder_id": "docs",
                "to": to,
                "progress": self.progress,
                "event": command_event,
                **how,
            }
        ).run()

    def verify(self, sample: Sample | None = None, **which: str) -> dict[str, Verification]:
        run = VerifyRun(**self._how(), sample=sample or Sample(share=1))
        return {found.destination: found for found in run.run(**which)}

    def repair(self, **which: str) -> dict[str, Repair]:
        return {done.destination: done for done in RepairRun(**self._how()).run(**which)}

    def rows(self, destination: str = "local") -> dict[str, Mapping[str, object]]:
        names = [name.strip() for name in ROW.removeprefix("SELECT").split(",")]
        with self.postgres.connect() as connection:
            found = connection.execute(
                f"{ROW} FROM shq.file_destinations WHERE destination = %s", (destination,)
            ).fetchall()
        return {row[0]: dict(zip(names, row, strict=True)) for row in found}

    def statuses(self, destination: str = "local") -> Counter[str]:
        return Counter(str(row["status"]) for row in self.rows(destination).values())

    def hashes(self) -> dict[str, str]:
        """Of the source, by this process and no rclone."""
        return hashes_below(self.source)

    def assert_true(self, destination: str, place: Path) -> None:
        """Every file that is called synced lies at the destination with the source's hash."""
        there = hashes_below(place)
        for path, row in self.rows(destination).items():
            if row["status"] == "synced":
                assert row["hash"] == f"md5:{there.get(path)}", path
            if row["status"] == "deleted":
                assert path not in there


def hashes_below(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def audited(postgres: Postgres, event: str = "outreach_backup_run") -> list[dict[str, object]]:
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT details FROM shq.audit_log WHERE event_type = %s ORDER BY id", (event,)
        ).fetchall()
    return [json.loads(json.dumps(row[0])) for row in rows]
