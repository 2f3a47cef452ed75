"""Google Drive as a source: the real rclone, and its API played on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_core.policies import Source
from outreach_core.postgres import Postgres
from tests.backups import Backups, hashes_below
from tests.servers.google_drive import DOCUMENT, FOLDER, GoogleDrive


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[GoogleDrive]:
    with GoogleDrive(folder=tmp_path) as drive:
        yield drive


@pytest.fixture
def backups(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backups:
    backups = Backups(postgres, tmp_path, monkeypatch)
    backups.given_policy(source=Source.GOOGLE_DRIVE, path="docs")
    return backups


@pytest.fixture
def docs(drive: GoogleDrive) -> str:
    """The id of the policy's folder."""
    return drive.add("docs", mime=FOLDER)


def there(backups: Backups) -> set[str]:
    return set(hashes_below(backups.home / "backups/docs/files"))


@pytest.mark.parametrize("by_account", [False, True], ids=["by a token", "by a service account"])
def test_a_drive_folder_is_backed_up_and_then_only_what_changes(
    backups: Backups, drive: GoogleDrive, docs: str, *, by_account: bool
) -> None:
    below = drive.add("bel'ow", parent=docs, mime=FOLDER)
    for number in range(20):
        drive.add(f"f{number}", b"x" * number, parent=(docs, below)[number % 2])
    drive.add("elsewhere", b"no")
    drive.log_in(backups.patch, by_account=by_account)
    done = backups.run()["local"]
    assert done.is_done, done
    assert (done.files, done.sent) == (20, 20)
    assert {"f0", "bel'ow/f1"} < there(backups)
    backups.assert_true("local", backups.home / "backups/docs/files")
    drive.add("new", b"new", parent=docs)
    assert backups.run()["local"].sent == 1
    assert {host for host in drive.asked if host.startswith("POST")} == {
        "POST oauth2.googleapis.com/token"
    }


def test_googles_own_documents_are_counted_and_left_out(
    backups: Backups, drive: GoogleDrive, docs: str
) -> None:
    drive.add("a.txt", b"a", parent=docs)
    drive.add("Minutes", parent=docs, mime=DOCUMENT)
    drive.log_in(backups.patch)
    done = backups.run()["local"]
    assert done.is_done, done
    assert (done.files, done.without_bytes) == (1, 1)
    assert there(backups) == {"a.txt"}


def test_two_files_of_one_name_are_a_failure_of_that_name_alone(
    backups: Backups, drive: GoogleDrive, docs: str
) -> None:
    drive.add("a.txt", b"a", parent=docs)
    for content in (b"one", b"other"):
        drive.add("twin.txt", content, parent=docs)
    drive.log_in(backups.patch)
    done = backups.run()["local"]
    assert (done.files, done.sent, done.failed) == (2, 1, 1)
    assert "two files of this name" in str(backups.rows()["twin.txt"]["error"])
    assert there(backups) == {"a.txt"}


def test_names_that_the_destination_cannot_hold_fail_alone(
    backups: Backups, drive: GoogleDrive, docs: str
) -> None:
    for name in ("a/b", "..", " x ", "n" * 300, "üm\nlaut"):
        drive.add(name, b"x", parent=docs)
    drive.log_in(backups.patch)
    done = backups.run()["local"]
    assert (done.files, done.failed) == (5, 1)
    assert "too long" in str(backups.rows()["n" * 300]["error"])
    assert {"üm\nlaut", " x "} < there(backups)
    assert len(there(backups)) == 4


def test_a_login_that_was_revoked_is_named_without_its_secrets(
    backups: Backups, drive: GoogleDrive, docs: str
) -> None:
    drive.add("a.txt", b"a", parent=docs)
    drive.log_in(backups.patch)
    assert backups.run()["local"].is_done
    drive.refresh_token = "another"
    error = str(backups.run()["local"].error)
    assert "invalid_grant" in error
    assert "hunter22" not in error
    assert backups.statuses() == {"synced": 1}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "set OUTREACH_GOOGLE_DRIVE_SERVICE_ACCOUNT_FILE or OUTREACH_GOOGLE_DRIVE_TOKEN"),
        ({"TOKEN": '{"refresh_token": "x"}'}, "set OUTREACH_GOOGLE_DRIVE_CLIENT_ID and"),
        ({"SERVICE_ACCOUNT_FILE": "/dev/null/x"}, "which is no file"),
        ({"SERVICE_ACCOUNT_FILE": __file__}, "set OUTREACH_GOOGLE_DRIVE_ROOT_FOLDER_ID, a folder"),
        ({"SERVICE_ACCOUNT_FILE": __file__, "TOKEN": '{"refresh_token": "x"}'}, "two logins"),
    ],
)
def test_a_login_that_is_not_whole_names_what_is_missing(
    backups: Backups, variables: dict[str, str], says: str
) -> None:
    for name, value in variables.items():
        backups.patch.setenv(f"OUTREACH_GOOGLE_DRIVE_{name}", value)
    assert says in str(backups.run()["local"].error)
