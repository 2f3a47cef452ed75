"""Folders to destinations by a real rclone and real S3 servers: each status is true by hash."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from outreach_assets.steps.backups.every_place import NothingToBackUpError
from outreach_assets.steps.backups.rclone import RcloneMissingError
from outreach_core.audit import command_event
from outreach_core.policies import FolderPolicy, Source
from outreach_core.policy_table import add_policy, remove_policy
from tests.backups import Backups, audited, hashes_below
from tests.integration.outreach_assets.steps.backups.places import a_dead_port, at_home
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3, rclone_binary


@pytest.mark.slow
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_dead_destination_stops_no_other_and_a_retry_heals_only_what_failed(
    backups: Backups, tmp_path: Path, count: int
) -> None:
    backups.given_files(count)
    names = ("aws_s3", "backblaze_b2", "scaleway", "local")
    backups.given_policy(destinations=names)
    with RcloneS3(tmp_path / "s3", "aws", "b2", "scw") as server, FaultProxy(server) as proxy:
        dead = f"http://127.0.0.1:{a_dead_port()}"
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws/pre/fix")
        backups.given_bucket("backblaze_b2", dead, server, "b2")
        backups.given_bucket("scaleway", server.endpoint, server, "scw")
        proxy.rates = {Fault.ERROR_500: 0.2}
        done = backups.run()
        assert proxy.faults[Fault.ERROR_500] > 0
        assert done["scaleway"].is_done
        assert done["local"].is_done
        assert not done["backblaze_b2"].is_done
        assert backups.statuses("backblaze_b2") == {"failed": count}
        assert "cannot be listed" in str(done["backblaze_b2"].error)
        backups.assert_true("aws_s3", tmp_path / "s3/aws/pre/fix/docs/files")
        proxy.rates = {}
        backups.given_bucket("backblaze_b2", server.endpoint, server, "b2")
        before = len(proxy.seen)
        healed = backups.run()
        assert all(outcome.is_done for outcome in healed.values())
        assert healed["aws_s3"].sent == done["aws_s3"].failed
        puts = [s.path for s in proxy.seen[before:] if s.method == "PUT"]
        assert sum("/files/" in path for path in puts) == healed["aws_s3"].sent
        assert {name: outcome.sent for name, outcome in healed.items()} == {
            "aws_s3": done["aws_s3"].failed,
            "backblaze_b2": count,
            "scaleway": 0,
            "local": 0,
        }
    places = [tmp_path / "s3" / one / "docs/files" for one in ("aws/pre/fix", "b2", "scw")]
    for name, place in zip(names, [*places, at_home(backups)], strict=True):
        assert hashes_below(place) == backups.hashes()
        assert backups.statuses(name) == {"synced": count}
        backups.assert_true(name, place)
    assert len(audited(backups.postgres)) == 8
    assert server.application_key not in str(audited(backups.postgres))


def test_what_changes_is_sent_and_what_goes_is_kept_as_a_version(backups: Backups) -> None:
    backups.given_files(9)
    changed, gone = backups.source / "d1/f1", backups.source / "d2/f2"
    old, removed = changed.read_bytes(), gone.read_bytes()
    backups.run()
    first = backups.rows()
    changed.write_text("new")
    gone.unlink()
    backups.source.joinpath("added").touch()
    outcome = backups.run()["local"]
    assert (outcome.sent, outcome.removed, outcome.synced, outcome.failed) == (2, 1, 9, 0)
    assert hashes_below(at_home(backups)) == backups.hashes()
    assert backups.statuses() == {"synced": 9, "deleted": 1}
    versions = backups.home / "backups/docs/versions"
    (version,) = versions.iterdir()
    assert version.joinpath("d1/f1").read_bytes() == old
    assert version.joinpath("d2/f2").read_bytes() == removed
    rows = backups.rows()
    assert rows["d2/f2"]["remote_path"] is None
    assert rows["d0/f0"]["synced_at"] == first["d0/f0"]["synced_at"]
    assert rows["d0/f0"]["proven_at"] > first["d0/f0"]["proven_at"]
    assert rows["d1/f1"]["synced_at"] > first["d1/f1"]["synced_at"]
    backups.given_policy(keep_versions=False)
    changed.unlink()
    backups.run()
    assert hashes_below(at_home(backups)) == backups.hashes()
    assert list(versions.iterdir()) == [version]


def test_a_damaged_file_at_the_destination_is_no_longer_called_synced(backups: Backups) -> None:
    backups.given_files(5)
    backups.run()
    at_home(backups).joinpath("d3/f3").write_bytes(backups.source.joinpath("d4/f4").read_bytes())
    assert backups.run()["local"].sent == 1
    assert hashes_below(at_home(backups)) == backups.hashes()


def test_odd_names_empty_files_links_and_loops_all_arrive(backups: Backups) -> None:
    odd = [
        "#hash ",
        "; semi",
        "new\nline",
        "ümläut",
        "u\u0308",
        "{a}[b]*?",
        "back\\slash",
        "🐈",
        " x",
    ]
    for name in (*odd, "empty", "d/.hidden", "- dash"):
        backups.source.joinpath(name).parent.mkdir(exist_ok=True)
        backups.source.joinpath(name).write_text(name if name != "empty" else "")
    backups.source.joinpath("d/loop").symlink_to("..")
    backups.source.joinpath("dangling").symlink_to("nowhere")
    os.mkfifo(backups.source / "fifo")
    outcome = backups.run()["local"]
    assert outcome.is_done, backups.rows()
    assert outcome.files == 14
    assert hashes_below(at_home(backups)) == backups.hashes()
    assert at_home(backups).joinpath("d/loop").readlink() == Path("..")
    assert backups.run()["local"].sent == 0


def test_a_source_that_vanishes_or_empties_removes_nothing(backups: Backups) -> None:
    backups.given_files(4)
    backups.run()
    away = backups.source.rename(backups.source.with_name("away"))
    assert "is not there" in str(backups.run()["local"].error)
    backups.source.mkdir()
    assert "suddenly" not in str(backups.run()["local"].error)
    assert "is empty" in str(backups.run()["local"].error)
    assert backups.statuses() == {"synced": 4}
    assert hashes_below(at_home(backups)) == hashes_below(away)


def test_a_nearer_policy_and_patterns_leave_files_out(backups: Backups) -> None:
    for path in ("a.txt", "b.tmp", "near/c.txt", "near/deep/d.txt", "few/e.txt"):
        backups.source.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        backups.source.joinpath(path).write_text(path)
    backups.given_policy(exclude=("*.tmp",))
    near = replace(
        backups.policy, folder_id="near", path=f"{backups.source}/near", recursive=False, exclude=()
    )
    add_policy(backups.postgres, near, command_event)
    backups.run()
    assert set(hashes_below(at_home(backups))) == {"a.txt", "near/deep/d.txt", "few/e.txt"}
    assert set(hashes_below(backups.home / "backups/near/files")) == {"c.txt"}
    backups.given_policy(exclude=("*.tmp", "/few/"))
    backups.run()
    assert "few/e.txt" in hashes_below(at_home(backups))  # left out from now on, not removed


def test_what_cannot_be_read_fails_alone(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(6)
    backups.source.joinpath("d1/f1").chmod(0)
    backups.source.joinpath("d2").chmod(0)
    wrapper = tmp_path / "rclone"
    lacking = "-dac_override,-dac_read_search"  # which root has, and would read everything by
    without = f"setpriv --bounding-set={lacking} --inh-caps={lacking}" if os.geteuid() == 0 else ""
    wrapper.write_text(f'#!/bin/sh\nexec {without} {rclone_binary()} "$@"\n')
    wrapper.chmod(0o755)
    backups.patch.setenv("OUTREACH_RCLONE", str(wrapper))
    outcome = backups.run()["local"]
    assert outcome.unread == ["d2/"]
    assert outcome.failed == 1
    assert not outcome.is_done
    assert backups.statuses() == {"synced": 4, "failed": 1}
    assert backups.rows()["d1/f1"]["error"] == "the source cannot be read"
    backups.source.joinpath("d1/f1").chmod(0o644)
    backups.source.joinpath("d2").chmod(0o755)
    assert backups.run()["local"].sent == 2
    backups.source.joinpath("d2").chmod(0)
    assert backups.run()["local"].removed == 0
    backups.source.joinpath("d2").chmod(0o755)
    assert backups.statuses() == {"synced": 6}
    backups.source.chmod(0)
    assert "cannot be read" in str(backups.run()["local"].error)
    backups.source.chmod(0o755)
    assert backups.statuses() == {"synced": 6}


@pytest.mark.slow
def test_two_runs_of_the_same_place_are_kept_apart(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(30)
    backups.given_policy(destinations=("aws_s3",))
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        proxy.rates = {Fault.SLOW: 1.0}
        first: dict[str, object] = {}
        runner = threading.Thread(target=lambda: first.update(backups.run()))
        runner.start()
        while "copying" not in backups.progress.steps:
            runner.join(0.01)
        assert "another run is at work" in str(backups.run()["aws_s3"].error)
        runner.join(60)
    assert first["aws_s3"].is_done


@pytest.mark.slow
def test_a_policy_removed_while_it_runs_ends_it_with_true_statuses(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(60)
    backups.given_policy(destinations=("aws_s3",))
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.patch.setattr("outreach_assets.steps.backups.mover.ASK_EVERY_LOOKS", 1)
        proxy.slow_seconds = 1
        proxy.rates = {Fault.SLOW: 1.0}
        found: dict[str, object] = {}
        runner = threading.Thread(target=lambda: found.update(backups.run()))
        runner.start()
        while proxy.count("PUT") == 0 and runner.is_alive():
            runner.join(0.01)
        remove_policy(backups.postgres, "docs", command_event)
        runner.join(60)
        assert "removed or switched off" in str(found["aws_s3"].error)
        assert proxy.count("PUT") < 60
    assert backups.statuses("aws_s3") == {"pending": 60}
    with pytest.raises(NothingToBackUpError):
        backups.run()


def test_what_cannot_be_set_up_is_named(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(1)
    backups.given_policy(destinations=("scaleway", "local"))
    done = backups.run()
    assert "set OUTREACH_BACKUP_SCALEWAY_BUCKET" in str(done["scaleway"].error)
    assert done["local"].is_done
    with RcloneS3(tmp_path / "s3", "there") as server:
        backups.given_bucket("scaleway", server.endpoint, server, "missing")
        assert "no bucket missing" in str(backups.run(destination="scaleway")["scaleway"].error)
        backups.given_bucket("scaleway", server.endpoint, server, "there")
        backups.patch.setenv("OUTREACH_BACKUP_SCALEWAY_SECRET", "hunter22")
        outcome = backups.run(destination="scaleway")["scaleway"]
        assert "cannot be listed" in str(outcome.error)
    backups.patch.setenv("OUTREACH_RCLONE", str(tmp_path / "nowhere"))
    with pytest.raises(RcloneMissingError, match="OUTREACH_RCLONE"):
        backups.run()


@pytest.mark.parametrize(
    ("script", "says"),
    [("echo sorry >&2; exit 1", "does not start: sorry"), ("exec sleep 0", "does not start")],
)
def test_an_rclone_that_does_not_start_is_named(
    backups: Backups, tmp_path: Path, script: str, says: str
) -> None:
    wrapper = tmp_path / "rclone"
    wrapper.write_text(f"#!/bin/sh\n{script}\n")
    wrapper.chmod(0o755)
    backups.patch.setenv("OUTREACH_RCLONE", str(wrapper))
    with pytest.raises(RcloneMissingError, match=says):
        backups.run()


def test_an_rclone_that_is_too_old_is_named(backups: Backups) -> None:
    backups.patch.setattr("outreach_assets.steps.backups.rclone.OLDEST", (9, 9, 9))
    with pytest.raises(RcloneMissingError, match=r"9\.9\.9 or newer"):
        backups.run()


def test_the_projects_own_store_can_be_a_source(backups: Backups) -> None:
    kept = backups.home / "store/outreach/wv"
    kept.mkdir(parents=True)
    kept.joinpath("x.parquet").write_text("x")
    policy = FolderPolicy(
        folder_id="own", name="O", path="outreach", source=Source.STORE, destinations=("local",)
    )
    add_policy(backups.postgres, policy, command_event)
    backups.run(folder_id="own")
    assert set(hashes_below(backups.home / "backups/own/files")) == {"wv/x.parquet"}
