"""Backups restored by a real rclone: what comes back is what was there, by hash, or it is named."""

import os
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_assets.steps.backups.as_it_was import UnknownTimeError
from outreach_assets.steps.backups.kept import BothKindsError, NothingAnswersError
from outreach_assets.steps.backups.rclone import NotThereError, obscured
from outreach_assets.steps.backups.restore import NothingToRestoreError
from outreach_assets.steps.backups.restore_folder import CannotWriteError, InTheWayError
from outreach_core.audit import command_event
from outreach_core.destinations import DestinationError
from outreach_core.policy_table import add_policy, remove_policy
from outreach_core.postgres import DatabaseUnreachableError, Postgres
from tests.backups import NOON, Backups, hashes_below
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import REGION, RcloneS3, rclone_binary

ODD = ["#h ", "; s", "new\nline", "ü", "u\u0308", "Ю/🐈", "日本/語", "ع", "{a}[b]*?", " x", ".hid"]
DEAD = "http://127.0.0.1:9"


def at_home(backups: Backups) -> Path:
    return backups.home / "backups" / "docs"


def test_everything_comes_back_whatever_its_name_and_a_second_time_nothing_is_fetched(
    backups: Backups, tmp_path: Path
) -> None:
    for name in (*ODD, "empty", "d/deep/er"):
        backups.source.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        backups.source.joinpath(name).write_text("" if name == "empty" else name)
    backups.source.joinpath("d/loop").symlink_to("..")
    backups.source.joinpath("dangling").symlink_to("nowhere")
    backups.given_policy(destinations=("local", "aws_s3"))
    with RcloneS3(tmp_path / "s3", "aws") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws/pre")
        assert all(outcome.is_done for outcome in backups.run().values())
        for name in ("local", "aws_s3"):
            to = tmp_path / f"back-{name}"
            done = backups.restore(to, source=name)
            assert (done.is_done, done.fetched, done.unproven) == (True, {name: 15}, 0)
            assert hashes_below(to) == backups.hashes()
            assert to.joinpath("d/loop").readlink() == Path("..")
            assert to.joinpath("dangling").readlink() == Path("nowhere")
            again = backups.restore(to, source=name)
            assert (again.is_done, again.there, again.fetched) == (True, 15, {})
            assert sorted(to.iterdir()) == sorted(
                to / path.name for path in backups.source.iterdir()
            )


@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True])
def test_plain_rclone_brings_everything_back_without_us(
    backups: Backups, tmp_path: Path, *, encrypted: bool
) -> None:
    for name in (*ODD, "empty"):
        backups.source.joinpath(name).parent.mkdir(exist_ok=True)
        backups.source.joinpath(name).write_text("" if name == "empty" else name)
    backups.source.joinpath("link").symlink_to("empty")
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", "correct horse battery")
    backups.given_policy(destinations=("aws_s3",), encrypted=encrypted)
    with RcloneS3(tmp_path / "s3", "aws") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws/pre")
        assert backups.run()["aws_s3"].is_done
        # The words of docs/operations.md.
        says = {
            "TO_TYPE": "s3",
            "TO_PROVIDER": "Other",
            "TO_ENDPOINT": server.endpoint,
            "TO_REGION": REGION,
            "TO_ACCESS_KEY_ID": server.key_id,
            "TO_SECRET_ACCESS_KEY": server.application_key,
            "VAULT_TYPE": "crypt",
            "VAULT_REMOTE": "to:aws/pre/docs/encrypted/files",
            "VAULT_FILENAME_ENCRYPTION": "off",
            "VAULT_DIRECTORY_NAME_ENCRYPTION": "false",
            "VAULT_SUFFIX": "none",
            "VAULT_PASSWORD": obscured(rclone_binary(), "correct horse battery"),
        }
        place = "vault:" if encrypted else "to:aws/pre/docs/files"
        words = ["copy", "--no-unicode-normalization", place, f":local,links=true:{tmp_path}/back"]
        subprocess.run(
            [rclone_binary(), "--config", "", *words],
            env={f"RCLONE_CONFIG_{name}": value for name, value in says.items()},
            check=True,
        )
    assert hashes_below(tmp_path / "back") == backups.hashes()
    assert tmp_path.joinpath("back/link").readlink() == Path("empty")


def test_a_folder_or_a_file_is_restored_by_whole_names(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(4)
    backups.source.joinpath("ä").mkdir()
    backups.source.joinpath("ä/x").touch()
    backups.run()
    to = tmp_path / "back"
    with pytest.raises(NothingToRestoreError, match="nothing of docs under 'd'"):
        backups.restore(to, path="d")
    assert not to.exists()
    for path, found in {"d1": "d1/f1", "/d2/f2": "d2/f2", "a\u0308/": "ä/x"}.items():
        assert backups.restore(to, path=path).is_done
        assert found in hashes_below(to)
    assert len(hashes_below(to)) == 3


@pytest.mark.slow
def test_each_time_comes_back_as_it_was(backups: Backups, tmp_path: Path) -> None:
    source, states = backups.source, []

    def run_with(**files: str | None) -> None:
        for name, content in files.items():
            path = source / name
            path.unlink() if content is None else path.write_text(content)
        assert all(o.is_done for o in backups.run_at(NOON + timedelta(hours=len(states))))
        states.append(hashes_below(source))

    run_with(stays="s", changes="1", goes="g", returns="r1")
    run_with(changes="2", comes="c")
    run_with(goes=None, returns=None)
    run_with()
    run_with(returns="r2", changes="3", comes=None)
    for hour, state in enumerate(states):
        to = tmp_path / str(hour)
        done = backups.restore(to, at=NOON + timedelta(hours=hour, minutes=30))
        assert (done.is_done, done.unproven) == (True, 0)
        assert hashes_below(to) == state
    shutil.rmtree(tmp_path / "0")
    alone = backups.restore(tmp_path / "0", at=NOON, postgres=None, path="changes")
    assert (alone.version, alone.unproven) == ("20261120120000", 0)
    assert tmp_path.joinpath("0/changes").read_text() == "1"
    with pytest.raises(UnknownTimeError, match="the first is 20261120120000"):
        backups.restore(tmp_path / "before", at=NOON - timedelta(seconds=1))


@pytest.mark.slow
def test_without_versions_what_is_gone_is_named(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(3)
    backups.given_policy(keep_versions=False)
    backups.run_at(NOON)
    backups.source.joinpath("d1/f1").write_text("new")
    backups.source.joinpath("d2/f2").unlink()
    backups.source.joinpath("added").touch()
    backups.run_at(NOON + timedelta(hours=1))
    done = backups.restore(tmp_path / "back", at=NOON)
    assert (done.is_done, done.lost) == (False, ["d1/f1", "d2/f2"])
    assert set(hashes_below(tmp_path / "back")) == {"d0/f0"}
    assert backups.restore(tmp_path / "now").is_done


@pytest.mark.slow
def test_a_damaged_version_is_not_restored(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(3)
    backups.run_at(NOON)
    backups.source.joinpath("d1/f1").write_text("new")
    backups.run_at(NOON + timedelta(hours=1))
    at_home(backups).joinpath("versions/20261120130000/d1/f1").write_text("rot")
    done = backups.restore(tmp_path / "back", at=NOON)
    assert (done.lacking, list(done.damaged)) == (["d1/f1"], ["local"])
    assert set(hashes_below(tmp_path / "back")) == {"d0/f0", "d2/f2"}


@pytest.mark.slow
def test_what_is_damaged_or_missing_at_one_destination_comes_from_another(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(5)
    backups.given_policy(destinations=("local", "aws_s3"))
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.run()
        proxy.rates = {Fault.SLOW: 1.0}  # so that the folder answers first
        at_home(backups).joinpath("files/d1/f1").write_bytes(b"Xile 1\n")
        at_home(backups).joinpath("files/d2/f2").unlink()
        alone = backups.restore(tmp_path / "alone", source="local")
        assert alone.lacking == ["d1/f1", "d2/f2"]
        assert alone.damaged == {"local": {"d1/f1": "what is there is not what was backed up"}}
        assert len(hashes_below(tmp_path / "alone")) == 3
        done = backups.restore(tmp_path / "back")
        assert (done.is_done, done.fetched) == (True, {"local": 3, "aws_s3": 2})
        assert hashes_below(tmp_path / "back") == backups.hashes()
        proxy.script("GET", "/d3/f3", *[Fault.FLIP_DOWN] * 40)
        flipped = backups.restore(tmp_path / "flipped", source="aws_s3")
        assert flipped.lacking == ["d3/f3"]
        assert "d3/f3" not in hashes_below(tmp_path / "flipped")


@pytest.mark.slow
def test_a_dead_destination_falls_back_to_the_next(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(4)
    backups.given_policy(destinations=("scaleway", "aws_s3", "backblaze_b2"))
    with RcloneS3(tmp_path / "s3", "scw", "aws") as server:
        backups.given_bucket("aws_s3", DEAD, server, "aws")
        backups.given_bucket("scaleway", server.endpoint, server, "scw")
        backups.run()
        remove_policy(backups.postgres, "docs", command_event)  # what was backed up stays known
        done = backups.restore(tmp_path / "back")
        assert done.fetched == {"scaleway": 4}
        assert hashes_below(tmp_path / "back") == backups.hashes()
        with pytest.raises(DestinationError, match="OUTREACH_BACKUP_BACKBLAZE_B2_BUCKET"):
            backups.restore(tmp_path / "none", source="backblaze_b2")
        server.stop()
        with pytest.raises(NothingAnswersError, match="scaleway: "):
            backups.restore(tmp_path / "none", postgres=None)


@pytest.mark.slow
def test_a_destination_that_fell_behind_does_not_bring_back_what_was(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(3)
    backups.given_policy(destinations=("local", "aws_s3"))
    with RcloneS3(tmp_path / "s3", "aws") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws")
        backups.run()
        backups.source.joinpath("d1/f1").write_text("newer")
        backups.source.joinpath("d2/f2").unlink()
        backups.run(destination="aws_s3")
        done = backups.restore(tmp_path / "back")
        assert done.is_done
        assert hashes_below(tmp_path / "back") == backups.hashes()
        backups.source.joinpath("d1/f1").write_text("newest, and nowhere")
        backups.given_bucket("aws_s3", DEAD, server, "aws")
        backups.run(destination="aws_s3")
    behind = backups.restore(tmp_path / "behind", source="local")
    assert (behind.is_done, behind.outdated, behind.lacking) == (False, ["d1/f1"], [])
    assert tmp_path.joinpath("behind/d1/f1").read_text() == "file 1\n"


def test_other_files_in_the_way_are_named_before_anything_is_written(
    backups: Backups, tmp_path: Path
) -> None:
    for path in ("same", "other", "a/below", "b", "elsewhere/x"):
        backups.source.joinpath(path).parent.mkdir(exist_ok=True)
        backups.source.joinpath(path).write_text(path)
    backups.run()
    to, outside = tmp_path / "back", tmp_path / "outside"
    outside.mkdir()
    to.joinpath("b").mkdir(parents=True)
    to.joinpath("same").write_text("same")
    to.joinpath("other").write_text("mine")
    to.joinpath("a").write_text("a file")
    to.joinpath("elsewhere").symlink_to(outside)
    before = sorted(to.rglob("*"))
    with pytest.raises(InTheWayError, match=r"4 .*\(a/below, b, elsewhere/x, other\)"):
        backups.restore(to)
    assert sorted(to.rglob("*")) == before
    assert to.joinpath("other").read_text() == "mine"
    assert not list(outside.iterdir())


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_named(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(1)
    backups.run()
    with pytest.raises(CannotWriteError, match="cannot be written: Not a directory"):
        backups.restore(backups.source / "d0/f0/below")
    with pytest.raises(CannotWriteError, match="/proc/back"):
        backups.restore(Path("/proc/back"))
    usage = shutil.disk_usage(tmp_path)
    backups.source.joinpath("sparse").touch()
    os.truncate(backups.source / "sparse", 1 << 16)
    backups.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1 << 10))
        with pytest.raises(CannotWriteError, match="65,536 bytes are to come"):
            backups.restore(tmp_path / "back")
    assert not tmp_path.joinpath("back").exists()


@pytest.mark.slow
def test_an_encrypted_policy_comes_back_in_the_clear(backups: Backups, tmp_path: Path) -> None:
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", "correct horse battery")
    backups.given_files(3)
    backups.source.joinpath("link").symlink_to("d1/f1")
    backups.given_policy(encrypted=True)
    backups.run_at(NOON)
    first = backups.hashes()
    backups.source.joinpath("d1/f1").write_text("new")
    backups.run_at(NOON + timedelta(hours=1))
    now, then = tmp_path / "now", tmp_path / "then"
    done = backups.restore(now)
    assert (done.is_done, done.unproven) == (True, 0)
    assert hashes_below(now) == backups.hashes()
    assert now.joinpath("link").readlink() == Path("d1/f1")
    assert backups.restore(now).there == 4
    noted = backups.restore(then, at=NOON, postgres=None)  # it finds out that they are encrypted
    assert (noted.is_done, noted.unproven) == (True, 0)
    assert hashes_below(then) == first
    at_home(backups).joinpath("encrypted/files/d2/f2").write_bytes(b"RCLONE\0\0 rot")
    assert backups.restore(tmp_path / "rot").lacking == ["d2/f2"]
    backups.given_policy(encrypted=False)
    backups.source.joinpath("d1/f1").write_text("newest")
    backups.run()
    assert "d2/f2" in hashes_below(at_home(backups) / "files")
    assert backups.restore(tmp_path / "plain").is_done
    old = backups.restore(tmp_path / "old", encrypted=True, path="d1")
    assert (old.is_done, old.fetched) == (True, {"local": 1})
    assert tmp_path.joinpath("old/d1/f1").read_text() == "new"
    with pytest.raises(BothKindsError, match="say --encrypted or --plain"):
        backups.restore(tmp_path / "both", postgres=None)


@pytest.mark.slow
def test_without_a_database_the_destination_vouches_for_itself(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(3)
    backups.run()
    at_home(backups).joinpath("files/stranger").write_text("?")
    noted = backups.restore(tmp_path / "noted", postgres=None)
    assert (noted.is_done, noted.unproven, noted.fetched) == (True, 1, {"local": 4})
    at_home(backups).joinpath("files/d1/f1").write_text("rot")
    assert backups.restore(tmp_path / "rot", postgres=None).lacking == ["d1/f1"]
    shutil.rmtree(at_home(backups) / "runs")
    bare = backups.restore(tmp_path / "bare", postgres=None)
    assert (bare.unproven, bare.fetched) == (4, {"local": 4})
    assert backups.restore(tmp_path / "bare", postgres=None).there == 4
    nowhere = Postgres(conninfo="host=127.0.0.1 port=9 dbname=x", name="nowhere")
    with pytest.raises(DatabaseUnreachableError, match="--without-database"):
        backups.restore(tmp_path / "then", postgres=nowhere)
    with pytest.raises(UnknownTimeError, match="there is none"):
        backups.restore(tmp_path / "then", at=NOON, postgres=None)
    with pytest.raises(NotThereError, match="local has nothing of nobody"):
        backups.restore(tmp_path / "nobody", folder_id="nobody", postgres=None)


NAMES, CONTENTS = ["a", "d/b", "d/e/c", "ü", "u\u0308"], ["", "1", "2", None]
SOURCES = st.fixed_dictionaries({name: st.sampled_from(CONTENTS) for name in NAMES})


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(st.lists(SOURCES, min_size=2, max_size=4))
def test_every_run_of_any_history_comes_back(
    backups: Backups, tmp_path: Path, sources: list[dict[str, str | None]]
) -> None:
    number = len(list(tmp_path.iterdir()))
    folder, states = tmp_path / f"history{number}", []
    policy = replace(backups.policy, folder_id=f"h{number}", path=str(folder), include=())
    folder.mkdir()
    add_policy(backups.postgres, policy, command_event)
    for hour, source in enumerate(sources):
        # Never empty: that is taken for a disk that is not mounted.
        for name, content in {**source, "always": "there"}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
        done = replace(backups.a_run(), now=NOON + timedelta(hours=hour)).run(
            folder_id=f"h{number}"
        )
        assert all(outcome.is_done for outcome in done)
        states.append(hashes_below(folder))
    for hour, state in enumerate(states):
        to = tmp_path / f"back{number}-{hour}"
        at = NOON + timedelta(hours=hour)
        assert backups.restore(to, folder_id=f"h{number}", at=at).is_done
        assert hashes_below(to) == state
