"""Encrypted policies by a real rclone: what lies there is no plaintext, and proven all the same."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from outreach_assets.steps.backups.crypt import clear_size
from outreach_assets.steps.backups.rclone import obscured
from tests.backups import Backups, hashes_below
from tests.integration.outreach_assets.steps.backups.places import at_home
from tests.servers.rclone_s3 import RcloneS3, rclone_binary

PASSPHRASE = "correct horse battery"  # pragma: allowlist secret
BIG = b"0123456789abcdef" * 9000  # three blocks, the last one short


@pytest.fixture
def encrypted(backups: Backups) -> Backups:
    backups.given_files(6)
    backups.source.joinpath("big [x] ü#%?.bin").write_bytes(BIG)
    backups.source.joinpath("empty").touch()
    backups.source.joinpath("link").symlink_to("empty")
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", PASSPHRASE)
    backups.given_policy(encrypted=True)
    return backups


def decrypted(place: Path, salt: str = "") -> dict[str, str]:
    """Hashes of what plain rclone makes of the folder, with no part of ours."""
    says = {
        "type": "crypt",
        "remote": str(place),
        "filename_encryption": "off",
        "directory_name_encryption": "false",
        "suffix": "none",
        "password": obscured(rclone_binary(), PASSPHRASE),
        "password2": obscured(rclone_binary(), salt) if salt else "",
    }
    out = place.parent / "decrypted"
    subprocess.run(
        [rclone_binary(), "copy", "--config", "", "vault:", str(out)],
        env={f"RCLONE_CONFIG_VAULT_{name.upper()}": value for name, value in says.items()},
        check=True,
    )
    found = hashes_below(out)
    if found.pop("link.rclonelink", None):
        assert (out / "link.rclonelink").read_text() == "empty"
    return found


def md5_of(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"  # noqa: S324


@pytest.mark.parametrize("salt", ["", pytest.param("staple staple", marks=pytest.mark.slow)])
def test_what_lies_there_is_encrypted_and_plain_rclone_restores_it(
    encrypted: Backups, salt: str
) -> None:
    encrypted.patch.setenv("OUTREACH_BACKUP_SALT", salt)
    outcome = encrypted.run()["local"]
    assert outcome.is_done, outcome
    assert outcome.sent == 9
    there = {p.name: p for p in at_home(encrypted, encrypted=True).rglob("*") if p.is_file()}
    assert all(p.read_bytes().startswith(b"RCLONE") for p in there.values())
    assert clear_size(there["big [x] ü#%?.bin"].stat().st_size) == len(BIG)
    rows = encrypted.rows()
    for path, row in rows.items():
        assert row["remote_hash"] == md5_of(at_home(encrypted, encrypted=True) / path)
        assert row["remote_path"] == str(at_home(encrypted, encrypted=True) / path)
    assert rows["d1/f1"]["hash"] == md5_of(encrypted.source / "d1/f1")
    assert decrypted(at_home(encrypted, encrypted=True), salt) == encrypted.hashes()
    assert encrypted.run()["local"].sent == 0


@pytest.mark.slow
def test_two_policies_of_one_bucket_and_what_changes_is_sent(
    encrypted: Backups, tmp_path: Path
) -> None:
    with RcloneS3(tmp_path / "s3", "aws") as server:
        encrypted.given_bucket("aws_s3", server.endpoint, server, "aws")
        encrypted.given_policy(destinations=("aws_s3",))
        encrypted.given_another("plain", tmp_path / "other", destinations=("aws_s3",))
        assert [o.is_done for o in encrypted.a_run().run()] == [True, True]
        assert set(hashes_below(tmp_path / "s3/aws/plain/files")) == {"note"}
        assert [o.sent for o in encrypted.a_run().run()] == [0, 0]
        changed = encrypted.source / "d1/f1"
        changed.write_bytes(changed.read_bytes()[::-1])
        encrypted.source.joinpath("d2/f2").unlink()
        outcome = encrypted.run(folder_id="docs")["aws_s3"]
        assert (outcome.sent, outcome.removed, outcome.synced) == (1, 1, 8)
        place = tmp_path / "s3/aws/docs/encrypted/files"
        assert decrypted(place) == encrypted.hashes()
        (version,) = (tmp_path / "s3/aws/docs/encrypted/versions").iterdir()
        assert set(hashes_below(version)) == {"d1/f1", "d2/f2"}


@pytest.mark.slow
def test_one_flipped_byte_there_is_found(encrypted: Backups) -> None:
    encrypted.run()
    there = at_home(encrypted, encrypted=True) / "big [x] ü#%?.bin"
    content = bytearray(there.read_bytes())
    content[-1] ^= 1
    there.write_bytes(content)
    assert encrypted.run()["local"].sent == 1
    assert decrypted(at_home(encrypted, encrypted=True)) == encrypted.hashes()


@pytest.mark.slow
def test_what_is_there_is_recognised_when_no_table_knows_it(encrypted: Backups) -> None:
    encrypted.run()
    hashes = hashes_below(at_home(encrypted, encrypted=True))
    with encrypted.postgres.connect() as connection:
        connection.execute("DELETE FROM shq.file_destinations WHERE path <> 'd1/f1'")
        connection.execute("UPDATE shq.file_destinations SET remote_hash = NULL")
    outcome = encrypted.run()["local"]
    assert (outcome.sent, outcome.synced, outcome.is_done) == (0, 9, True)
    assert hashes_below(at_home(encrypted, encrypted=True)) == hashes
    assert encrypted.statuses() == {"synced": 9}


@pytest.mark.slow
def test_a_passphrase_that_is_missing_or_changed_is_refused(encrypted: Backups) -> None:
    encrypted.patch.delenv("OUTREACH_BACKUP_PASSPHRASE")
    assert "set OUTREACH_BACKUP_PASSPHRASE" in str(encrypted.run()["local"].error)
    encrypted.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", PASSPHRASE)
    encrypted.run()
    encrypted.source.joinpath("link").unlink()
    encrypted.given_policy(exclude=("link.rclonelink",))  # what lies there of it stays there
    hashes = hashes_below(at_home(encrypted, encrypted=True))
    encrypted.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", "another one altogether")
    outcome = encrypted.run()["local"]
    assert "encrypted with another OUTREACH_BACKUP_PASSPHRASE" in str(outcome.error)
    assert hashes_below(at_home(encrypted, encrypted=True)) == hashes
    assert encrypted.run(is_new_passphrase=True)["local"].sent == 6  # two are empty
    assert encrypted.run()["local"].is_done
    assert len(hashes.items() & hashes_below(at_home(encrypted, encrypted=True)).items()) == 3


@pytest.mark.slow
def test_switching_says_what_stays_behind(encrypted: Backups) -> None:
    encrypted.given_policy(encrypted=False)
    assert encrypted.run()["local"].left_behind is None
    encrypted.given_policy(encrypted=True)
    outcome = encrypted.run()["local"]
    assert (outcome.sent, outcome.is_done) == (9, True)
    assert str(outcome.left_behind).startswith("plain files of before are still in ")
    assert str(outcome.left_behind).endswith("backups/docs/files")
    encrypted.given_policy(encrypted=False)
    outcome = encrypted.run()["local"]
    assert (outcome.sent, outcome.is_done) == (0, True)
    assert "encrypted files of before" in str(outcome.left_behind)
    assert {row["remote_hash"] for row in encrypted.rows().values()} == {None}


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_sent_is_not_called_synced(encrypted: Backups) -> None:
    path = encrypted.source / "d1/f1"

    def began(_policy: str, _destination: str, step: str) -> None:
        if step == "proving":
            path.write_text("other")

    encrypted.patch.setattr(encrypted.progress, "began", began)
    outcome = encrypted.run()["local"]
    assert (outcome.sent, outcome.failed) == (8, 1)
    assert encrypted.rows()["d1/f1"]["remote_hash"] is None
    assert encrypted.statuses() == {"synced": 8, "failed": 1}
