"""A backup of 10,000 small files, beside plain rclone in the same run, each to a bucket of its own.

    .venv/bin/python bench/backup.py [files]

Seconds of: `rclone copy` and ours, both first runs; `rclone check` and ours with nothing changed;
everything copied back by `rclone copy`, and restored by us, proven by hash.
The S3 server is rclone's own on this machine; what it takes is in every figure.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from outreach_assets.steps.backups.restore import Restore
from outreach_assets.steps.backups.run import BackupRun
from outreach_core.audit import command_event
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.migrate import migrate
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import add_policy
from outreach_core.settings import load_settings
from tests.servers.rclone_s3 import REGION, RcloneS3, rclone_binary


class Quiet:
    """Progress for nobody."""

    def began(self, *_: object) -> None:
        """Nothing."""

    def moved(self, *_: object) -> None:
        """Nothing."""


def make_files(folder: Path, count: int) -> None:
    dice = random.Random(1)  # noqa: S311 the same files each time
    for number in range(count):
        path = folder / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(dice.randint(1000, 100_000)))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(count: int) -> None:
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        embedded = stack.enter_context(EmbeddedPostgres(base / "pg"))
        server = stack.enter_context(RcloneS3(base / "s3", "plain", "ours"))
        postgres = embedded.ensure_running().database("postgres")
        migrate(postgres)
        source = base / "source"
        make_files(source, count)
        says = {
            "type": "s3",
            "provider": "Other",
            "endpoint": server.endpoint,
            "access_key_id": server.key_id,
            "secret_access_key": server.application_key,
            "region": REGION,
            "no_check_bucket": "true",
        }
        os.environ.update({f"RCLONE_CONFIG_TO_{k.upper()}": v for k, v in says.items()})
        os.environ["OUTREACH_HOME"] = str(base / "home")
        for name, value in {
            "BUCKET": "ours",
            "ENDPOINT": server.endpoint,
            "REGION": REGION,
            "KEY_ID": server.key_id,
            "SECRET": server.application_key,
        }.items():
            os.environ[f"OUTREACH_BACKUP_AWS_S3_{name}"] = value
        policy = FolderPolicy(folder_id="b", name="B", path=str(source), destinations=("aws_s3",))
        add_policy(postgres, policy, command_event)

        def rclone(command: str, *places: str) -> None:
            places = places or (str(source), "to:plain/b/files")
            words = [rclone_binary(), command, "--config", "", *places]
            subprocess.run(words, check=True, capture_output=True)

        def ours() -> None:
            run = BackupRun(
                postgres=postgres,
                settings=load_settings(),
                now=datetime.now(UTC),
                progress=Quiet(),
                event=command_event,
            )
            (outcome,) = run.run()
            if not outcome.is_done:
                raise SystemExit(f"not done: {outcome}")

        def our_restore() -> None:
            restored = Restore(
                postgres=postgres,
                settings=load_settings(),
                folder_id="b",
                to=base / "ours-back",
                progress=Quiet(),
                event=command_event,
            ).run()
            if restored.fetched != {"aws_s3": count}:
                raise SystemExit(f"not restored: {restored}")

        plain_copy, our_copy = seconds(lambda: rclone("copy")), seconds(ours)
        checks = [(seconds(lambda: rclone("check")), seconds(ours)) for _ in range(3)]
        plain_back = seconds(lambda: rclone("copy", "to:plain/b/files", str(base / "plain-back")))
        our_back = seconds(our_restore)
        plain_check, our_second = (sorted(side)[1] for side in zip(*checks, strict=True))
    print(
        f"{count:,} files: rclone copy {plain_copy:.1f} s, ours with every status {our_copy:.1f} s"
    )
    print(f"  {our_copy / plain_copy:.2f} x (at most 1.3)")
    print(
        f"nothing changed: rclone check {plain_check:.1f} s, ours {our_second:.1f} s (medians of 3)"
    )
    print(f"  {our_second / plain_check:.2f} x (at most 1.15)")
    print(f"all of it back: rclone copy {plain_back:.1f} s, ours proven by hash {our_back:.1f} s")
    print(f"  {our_back / plain_back:.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
