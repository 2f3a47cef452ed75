"""Restore drills with a real rclone: what passes could be restored, what could not is named."""

from pathlib import Path

import pytest

from outreach_assets.steps.backups.drill import Drill, NothingToDrillError
from outreach_core.audit import command_event
from outreach_core.drill_table import DrillResult, list_drills
from outreach_core.settings import load_settings
from tests.backups import NOON, Backups
from tests.servers.rclone_s3 import RcloneS3


def drilled(
    backups: Backups, *, seed: str = "s", files: int = 8, **which: str
) -> list[DrillResult]:
    drill = Drill(
        postgres=backups.postgres,
        settings=load_settings(),
        drill_id=f"{seed}{len(list_drills(backups.postgres))}",
        seed=seed,
        files=files,
        now=NOON,
        progress=backups.progress,
        event=command_event,
    )
    return sorted(drill.run(**which), key=lambda result: result.destination)


@pytest.mark.parametrize("encrypted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_sample_from_each_destination_is_restored_and_kept_in_the_history(
    backups: Backups, tmp_path: Path, *, encrypted: bool
) -> None:
    with pytest.raises(NothingToDrillError, match="outreach backup run"):
        drilled(backups)
    backups.given_files(12)
    if encrypted:
        backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", "correct horse battery")
        backups.given_policy(encrypted=True)
    backups.source.joinpath("link").symlink_to("nowhere")
    backups.given_policy(destinations=("local", "aws_s3"))
    with RcloneS3(tmp_path / "s3", "aws") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws")
        backups.run()
        backups.source.joinpath("d1/f1").write_text("changed since")
        results = drilled(backups, files=99)
    assert [one.destination for one in results] == ["aws_s3", "local"]
    for one in results:
        assert (one.files, one.restored, one.same_as_source) == (13, 13, 12)
        assert (one.is_passed, one.error) == (True, None)
        assert one.restored_bytes == one.bytes > 0
        assert one.seconds > 0
    assert sorted(list_drills(backups.postgres), key=lambda one: one.destination) == results
    assert list_drills(backups.postgres, destination="local") == [results[1]]
    assert list((backups.home / "drills").iterdir()) == []
    with backups.postgres.connect() as connection:
        (told,) = connection.execute(
            "SELECT count(*) FROM shq.audit_log WHERE event_type = 'outreach_backup_drilled'"
        ).fetchone()
    assert told == 2


@pytest.mark.slow
def test_what_is_damaged_dead_or_gone_fails_alone(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(6)
    backups.given_policy(destinations=("local", "aws_s3", "scaleway"))
    with RcloneS3(tmp_path / "s3", "aws", "scw") as server:
        for name, bucket in (("aws_s3", "aws"), ("scaleway", "scw")):
            backups.given_bucket(name, server.endpoint, server, bucket)
        backups.run()
        at_home = backups.home / "backups/docs/files"
        at_home.joinpath("d3/f3").write_text("rot")
        at_home.joinpath("d4/f4").unlink()
        backups.given_bucket("scaleway", "http://127.0.0.1:9", server, "scw")
        aws, local, scaleway = drilled(backups)
    assert (aws.is_passed, aws.restored) == (True, 6)
    assert (local.is_passed, local.restored, local.files) == (False, 4, 6)
    assert "2 of 6 files did not come back: d3/f3: what is there is not" in str(local.error)
    assert "d4/f4: it is not there" in str(local.error)
    assert (scaleway.is_passed, scaleway.restored, scaleway.files) == (False, 0, 6)
    assert "connection refused" in str(scaleway.error)


@pytest.mark.slow
def test_the_same_seed_takes_the_same_files(backups: Backups) -> None:
    backups.given_files(40)
    backups.run()
    sizes = [drilled(backups, seed=seed, files=5)[0].bytes for seed in ("a", "a", "b")]
    assert sizes[0] == sizes[1] != sizes[2]
    backups.patch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1}))
    (full,) = drilled(backups, destination="local")
    assert "make room" in str(full.error)
