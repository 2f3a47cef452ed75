"""A killed backup of the database: no half of it counts, and the next run clears it away."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from outreach_core.postgres import Postgres
from tests.database_backups import DatabaseBackups, a_database
from tests.faults.test_killed_backups import marked_processes, wait_for
from tests.given import a_company, given_rows
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

SECONDS = 60


@pytest.fixture
def postgres(server: Postgres) -> Iterator[Postgres]:
    with a_database(server) as postgres:
        yield postgres


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_backup_leaves_nothing_that_counts(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    backups = DatabaseBackups(postgres, tmp_path, monkeypatch)
    given_rows(postgres, [a_company()])
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    mark = f"C.{uuid4().hex}"
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        proxy.rates = {Fault.SLOW: 1.0}
        words = ["-c", "from outreach_assets.command_line.main import run; run()"]
        run = subprocess.Popen(
            [sys.executable, *words, "backup", "database", "--destination", "aws_s3"],
            env={**os.environ, "LANG": mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: proxy.count("PUT") >= 3)
        run.send_signal(how)
        run.wait(SECONDS)
        wait_for(lambda: not marked_processes(mark))
        place = tmp_path / "s3/aws/neon"
        (half,) = place.iterdir()
        assert list(half.iterdir())
        assert not half.joinpath("manifest.json").exists()
        proxy.rates = {}
        receipt, outcomes = backups.back_up("aws_s3", now=datetime.now(UTC))
    assert outcomes["aws_s3"].removed == [half.name]
    assert [path.name for path in place.iterdir()] == [receipt.version]
    assert list((backups.home / "spill").iterdir()) == []
