"""What verification found is repaired from a good copy, when told to, and proven afterwards."""

from pathlib import Path

import pytest

from outreach_assets.steps.backups.verify import Sample
from tests.backups import Backups, audited, hashes_below
from tests.integration.outreach_assets.steps.backups.places import a_dead_port, at_home
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

PASSPHRASE = "correct horse battery"  # pragma: allowlist secret


def test_from_the_source_or_it_is_named(backups: Backups) -> None:
    backups.given_files(8)
    backups.run()
    good = hashes_below(at_home(backups))
    for name in ("d1/f1", "d2/f2", "d3/f3"):
        at_home(backups).joinpath(name).unlink()
    at_home(backups).joinpath("d4/f4").write_text("strange")
    backups.verify(Sample(files=0))
    backups.source.joinpath("d3/f3").write_text("changed since")
    done = backups.repair()["local"]
    assert (done.faults, done.repaired, dict(done.origins)) == (4, 3, {"source": 3}), done
    assert [file.path for file in done.left] == ["d3/f3"]
    assert "no other destination has a proven copy" in done.left[0].reason
    assert {**good, "d3/f3": None} == {**hashes_below(at_home(backups)), "d3/f3": None}
    assert backups.statuses() == {"synced": 7, "failed": 1}
    assert backups.run()["local"].is_done
    (event,) = audited(backups.postgres, "outreach_backup_repaired")
    assert (event["repaired"], event["left"], event["is_done"]) == (3, 1, False)


@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True])
def test_from_another_destination_when_the_source_is_gone(
    backups: Backups, tmp_path: Path, *, encrypted: bool
) -> None:
    backups.given_files(9)
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", PASSPHRASE)
    names = ("aws_s3", "scaleway", "local")
    backups.given_policy(destinations=names, encrypted=encrypted)
    with RcloneS3(tmp_path / "s3", "aws", "scw") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws")
        backups.given_bucket("scaleway", server.endpoint, server, "scw")
        assert all(outcome.is_done for outcome in backups.run().values())
        place = at_home(backups, encrypted=encrypted)
        for name in ("d1/f1", "d2/f2"):
            place.joinpath(name).unlink()
        backups.source.rename(backups.source.with_name("away"))
        backups.given_bucket("aws_s3", f"http://127.0.0.1:{a_dead_port()}", server, "aws")
        assert backups.verify(Sample(files=0), destination="local")["local"].missing == 2
        done = backups.repair(destination="local")["local"]
        assert (done.repaired, dict(done.origins)) == (2, {"scaleway": 2}), done
        assert done.is_done
        assert "not found" in done.unreachable["source"]
    there = tmp_path / "s3/scw/docs" / ("encrypted/files" if encrypted else "files")
    wanted, found = hashes_below(there), hashes_below(place)
    assert [found[name] for name in ("d1/f1", "d2/f2")] == [
        wanted[name] for name in ("d1/f1", "d2/f2")
    ]
    assert backups.statuses("local") == {"synced": 9}
    backups.source.with_name("away").rename(backups.source)
    assert backups.run(destination="local")["local"].sent == 0


@pytest.mark.slow
def test_damaged_bytes_are_repaired_only_when_they_are_proven(
    backups: Backups, tmp_path: Path
) -> None:
    backups.given_files(5)
    backups.given_policy(destinations=("aws_s3",))
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.run()
        proxy.script("GET", "files/d3/f3", *[Fault.FLIP_DOWN] * 3)
        assert backups.verify()["aws_s3"].damaged == 1
        done = backups.repair()["aws_s3"]
        assert [file.path for file in done.left] == ["d3/f3"], done
        assert backups.rows("aws_s3")["d3/f3"]["status"] == "failed"
        done = backups.repair()["aws_s3"]
        assert (done.repaired, done.is_done) == (1, True)
        assert backups.rows("aws_s3")["d3/f3"]["bytes_proven_at"] is not None
