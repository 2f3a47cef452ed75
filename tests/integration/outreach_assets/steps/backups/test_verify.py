"""Verification against real destinations: every fault is found, named, and never called synced."""

import threading
from pathlib import Path

import pytest

from outreach_assets.steps.backups.verify import Sample
from tests.backups import Backups, audited
from tests.integration.outreach_assets.steps.backups.places import a_dead_port, at_home
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

PASSPHRASE = "correct horse battery"  # pragma: allowlist secret


@pytest.fixture(params=["plain", pytest.param("encrypted", marks=pytest.mark.slow)])
def encrypted(request: pytest.FixtureRequest, backups: Backups) -> bool:
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", PASSPHRASE)
    backups.given_policy(encrypted=request.param == "encrypted")
    return request.param == "encrypted"


def test_what_is_missing_replaced_or_flipped_is_found_and_a_run_mends_it(
    backups: Backups, *, encrypted: bool
) -> None:
    backups.given_files(9)
    backups.run()
    clean = backups.verify()["local"]
    assert clean.is_sound, clean
    assert (clean.files, clean.sound, clean.read, clean.bytes_share) == (9, 9, 9, 1.0)
    place = at_home(backups, encrypted=encrypted)
    place.joinpath("d1/f1").unlink()
    place.joinpath("d2/f2").write_bytes(place.joinpath("d3/f3").read_bytes())
    flipped = bytearray(place.joinpath("d4/f4").read_bytes())
    flipped[-1] ^= 1
    place.joinpath("d4/f4").write_bytes(flipped)
    backups.source.joinpath("d5/f5").write_text("changed since")
    backups.source.joinpath("new").touch()
    place.joinpath("strange").touch()
    found = backups.verify()["local"]
    assert (found.files, found.sound, found.missing, found.replaced) == (8, 5, 1, 2)
    assert (found.changed, found.waiting, found.unknown) == (1, 1, 1)
    assert not found.is_sound
    assert [fault.path for fault in found.faults] == ["d1/f1", "d2/f2", "d4/f4"]
    rows = backups.rows()
    assert {path: rows[path]["status"] for path in ("d1/f1", "d4/f4", "d5/f5")} == {
        "d1/f1": "failed",
        "d4/f4": "failed",
        "d5/f5": "pending",
    }
    assert str(rows["d1/f1"]["error"]).startswith("missing")
    place.joinpath("strange").unlink()
    mended = backups.run()["local"]
    assert (mended.sent, mended.is_done) == (5, True)
    assert {row["fault"] for row in backups.rows().values()} == {None}


@pytest.mark.slow
def test_bytes_that_are_not_as_the_listing_says_are_damaged_until_they_are_proven(
    backups: Backups, tmp_path: Path, *, encrypted: bool
) -> None:
    backups.given_files(5)
    backups.given_policy(destinations=("aws_s3",))
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.run()
        folder = "encrypted/files" if encrypted else "files"
        proxy.script("GET", f"{folder}/d3/f3", *[Fault.FLIP_DOWN] * 2)
        proxy.script("GET", f"{folder}/d4/f4", Fault.FLIP_DOWN)  # on the way, this one
        found = backups.verify()["aws_s3"]
        assert (found.sound, found.damaged, found.read) == (4, 1, 5), found
        assert backups.rows("aws_s3")["d3/f3"]["status"] == "failed"
        assert "damaged: its bytes are" in str(backups.rows("aws_s3")["d3/f3"]["error"])
        proxy.script("GET", f"{folder}/d3/f3", *[Fault.FLIP_DOWN] * 3)
        assert backups.verify(Sample(files=0))["aws_s3"].damaged == 1
        outcome = backups.run()["aws_s3"]
        assert (outcome.sent, outcome.failed) == (0, 1), outcome
        while not backups.run()["aws_s3"].is_done:
            assert backups.rows("aws_s3")["d3/f3"]["status"] == "failed"
        row = backups.rows("aws_s3")["d3/f3"]
        assert (row["fault"], row["bytes_proven_at"] is not None) == (None, True)


@pytest.mark.slow
def test_the_oldest_proof_is_renewed_first_until_all_is_proven(backups: Backups) -> None:
    backups.given_files(10)
    backups.run()
    shares = [backups.verify(Sample(share=0.3))["local"].bytes_share for _ in range(4)]
    assert shares == [0.3, 0.6, 0.9, 1.0]


@pytest.mark.slow
def test_one_dead_and_one_damaged_destination_of_three(backups: Backups, tmp_path: Path) -> None:
    backups.given_files(12)
    backups.given_policy(destinations=("aws_s3", "scaleway", "local"))
    with RcloneS3(tmp_path / "s3", "aws", "scw") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws")
        backups.given_bucket("scaleway", server.endpoint, server, "scw")
        backups.run()
        server.put("/scw/docs/files/d3/f3", b"somebody's own")
        backups.given_bucket("aws_s3", f"http://127.0.0.1:{a_dead_port()}", server, "aws")
        found = backups.verify()
    assert "cannot be listed" in str(found["aws_s3"].error)
    assert found["local"].is_sound
    assert (found["scaleway"].replaced, found["scaleway"].sound) == (1, 11)
    assert backups.statuses("aws_s3") == {"synced": 12}
    assert backups.statuses("scaleway") == {"synced": 11, "failed": 1}
    events = audited(backups.postgres, "outreach_backup_verified")
    assert {e["destination"]: e["is_sound"] for e in events} == {
        "aws_s3": False,
        "local": True,
        "scaleway": False,
    }


def test_a_source_that_is_gone_is_said_and_what_is_there_is_proven(backups: Backups) -> None:
    backups.given_files(4)
    backups.run()
    backups.source.rename(backups.source.with_name("away"))
    found = backups.verify()["local"]
    assert (found.sound, found.read, found.is_sound) == (4, 4, False)
    assert "is not there" in str(found.source_error)
    backups.source.mkdir()
    assert "is empty" in str(backups.verify()["local"].source_error)
    assert backups.statuses() == {"synced": 4}


@pytest.mark.slow
def test_a_verification_that_is_stopped_keeps_what_it_had_proven(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(12)
    backups.given_policy(destinations=("aws_s3",))
    backups.patch.setattr("outreach_assets.steps.backups.verify.BATCH_FILES", 3)
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.run()
        reached = threading.Event()

        def moved(*_: object) -> None:
            if not reached.is_set():
                reached.set()
                server.stop()

        backups.patch.setattr(backups.progress, "moved", moved)
        found = backups.verify()["aws_s3"]
    assert reached.is_set()
    assert not found.is_sound
    assert (found.read, found.damaged) == (3, 0), found
    assert "cannot be read" in str(found.error)
    assert backups.statuses("aws_s3") == {"synced": 12}
    proven = [row for row in backups.rows("aws_s3").values() if row["bytes_proven_at"]]
    assert len(proven) == 3


@pytest.mark.slow
def test_what_was_recorded_by_hashes_of_another_kind_is_no_fault(backups: Backups) -> None:
    backups.given_files(3)
    backups.run()
    with backups.postgres.connect() as connection:
        connection.execute("UPDATE shq.file_destinations SET hash = 'sha1:00' WHERE path = 'd1/f1'")
    found = backups.verify()["local"]
    assert (found.is_sound, found.sound, found.read, found.changed) == (True, 3, 2, 0)
