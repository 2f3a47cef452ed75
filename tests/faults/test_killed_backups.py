"""A backup that is killed, and what its rclone may show: nothing stays, nothing is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest

from outreach_core.postgres import Postgres
from tests.backups import Backups, hashes_below
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.rclone_s3 import RcloneS3

COMMAND = ["-c", "from outreach_assets.command_line.main import run; run()", "backup", "run"]
GRAPH = ["-m", "dagster", "job", "execute", "-m", "outreach_assets.definitions", "-j", "backup_job"]
"""As a worker of Dagster's executes it; SIGTERM is what it gets when somebody cancels the run."""

FILES = 80
SECONDS = 60


@pytest.fixture
def postgres(server: Postgres) -> Iterator[Postgres]:
    name = f"backups_{uuid4().hex[:12]}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield server.database(name)
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def backups(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backups:
    made = Backups(postgres, tmp_path, monkeypatch)
    made.given_files(FILES)
    made.given_policy(destinations=("aws_s3",))
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    return made


@pytest.fixture
def proxy(backups: Backups, tmp_path: Path) -> Iterator[FaultProxy]:
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as running:
        backups.given_bucket("aws_s3", running.endpoint, server, "aws")
        running.rates = {Fault.SLOW: 1.0}
        yield running


def marked_processes(mark: str) -> dict[int, str]:
    """Command lines of all processes that have it in their environment, but for zombies."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
            if words and mark.encode() in process.joinpath("environ").read_bytes():
                found[int(process.name)] = words
        except OSError:
            continue
    return found


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("words", [COMMAND, GRAPH], ids=["command", "graph"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_no_rclone_and_no_status_that_is_not_true(
    backups: Backups, proxy: FaultProxy, tmp_path: Path, how: signal.Signals, words: list[str]
) -> None:
    mark = f"C.{uuid4().hex}"
    home = tmp_path / "dagster"
    home.mkdir()
    run = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, "LANG": mark, "DAGSTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: proxy.count("PUT") >= 5)
    shown = marked_processes(mark)
    assert any(" rcd " in words for words in shown.values())
    secret = proxy.server.application_key
    assert not any(secret in words or "RC_PASS" in words for words in shown.values())
    run.send_signal(how)
    output, _ = run.communicate(timeout=SECONDS)
    assert secret not in output
    assert proxy.count("PUT") < FILES
    wait_for(lambda: not marked_processes(mark))
    place = tmp_path / "s3/aws/docs/files"
    assert backups.statuses("aws_s3") == {"pending": FILES}
    proxy.rates = {}
    done = backups.run()["aws_s3"]
    assert done.is_done
    assert 0 < done.sent < FILES
    assert hashes_below(place) == backups.hashes()
    backups.assert_true("aws_s3", place)


@pytest.mark.slow
def test_a_killed_encrypted_run_shows_no_passphrase_and_what_had_come_is_proven(
    backups: Backups, proxy: FaultProxy, tmp_path: Path
) -> None:
    passphrase, mark = f"not to be seen {uuid4().hex}", f"C.{uuid4().hex}"
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", passphrase)
    backups.given_policy(encrypted=True)
    command = [sys.executable, "-c", "from outreach_assets.command_line.main import run; run()"]
    run = subprocess.Popen(
        [*command, "backup", "run"],
        env={**os.environ, "LANG": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: proxy.count("PUT") >= 10)
    assert not any(passphrase in words for words in marked_processes(mark).values())
    run.kill()
    output, _ = run.communicate(timeout=SECONDS)
    assert passphrase not in output
    wait_for(lambda: not marked_processes(mark))
    assert backups.statuses("aws_s3") == {"pending": FILES}
    proxy.rates = {}
    done = backups.run()["aws_s3"]
    assert (done.is_done, done.synced) == (True, FILES)
    assert 0 < done.sent < FILES
    assert backups.verify()["aws_s3"].is_sound
    place = tmp_path / "s3/aws/docs/encrypted/files"
    assert {f"md5:{one}" for one in hashes_below(place).values()} == {
        row["remote_hash"] for row in backups.rows("aws_s3").values()
    }


@pytest.mark.slow
def test_a_killed_restore_leaves_no_half_file_and_the_next_one_goes_on(
    backups: Backups, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.rates = {}
    assert backups.run()["aws_s3"].is_done
    # Files of which something is under way for long.
    proxy.rates = {Fault.SLOW: 1.0}
    to, mark = tmp_path / "back", f"C.{uuid4().hex}"
    command = [sys.executable, "-c", "from outreach_assets.command_line.main import run; run()"]
    run = subprocess.Popen(
        [*command, "backup", "restore", "docs", "--to", to],
        env={**os.environ, "LANG": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    arriving = to / ".outreach-restore/files"
    wait_for(lambda: len(hashes_below(arriving)) >= 10)
    run.kill()
    run.wait(SECONDS)
    wait_for(lambda: not marked_processes(mark))
    in_place = {p: h for p, h in hashes_below(to).items() if not p.startswith(".outreach-restore")}
    assert in_place.items() <= backups.hashes().items()
    proxy.rates = {}
    before = len(proxy.seen)
    done = backups.restore(to)
    assert done.is_done
    assert done.resumed + done.there >= 9
    assert done.fetched == {"aws_s3": FILES - done.resumed - done.there}
    gets = {s.path for s in proxy.seen[before:] if s.method == "GET" and "/files/d" in s.path}
    assert len(gets) == done.fetched["aws_s3"]
    assert hashes_below(to) == backups.hashes()


def test_a_file_that_is_refused_fails_alone_with_the_reason(
    backups: Backups, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.rates = {}
    proxy.script("PUT", "/d3/f10", *[Fault.ERROR_500] * 40)
    done = backups.run()["aws_s3"]
    assert (done.sent, done.failed, done.is_done) == (FILES - 1, 1, False)
    row = backups.rows("aws_s3")["d3/f10"]
    assert (row["status"], row["attempts"], row["remote_path"]) == ("failed", 1, None)
    assert "500" in str(row["error"])
    backups.assert_true("aws_s3", tmp_path / "s3/aws/docs/files")


@pytest.mark.slow
def test_a_destination_that_dies_in_the_middle_is_given_up(
    backups: Backups, proxy: FaultProxy, tmp_path: Path
) -> None:
    died = Event()

    def die() -> None:
        wait_for(lambda: proxy.count("PUT") >= 10)
        proxy.server.stop()
        died.set()

    Thread(target=die).start()
    done = backups.run()["aws_s3"]
    assert died.wait(SECONDS)
    assert "aws_s3: it has stopped answering" in str(done.error)
    assert backups.statuses("aws_s3") == {"failed": FILES}  # nobody could ask what has arrived
    assert proxy.count("PUT") < 4 * FILES
    proxy.rates = {}
    proxy.server.start(int(proxy.server.endpoint.rpartition(":")[2]))
    healed = backups.run()["aws_s3"]
    assert healed.is_done
    assert healed.sent < FILES
    backups.assert_true("aws_s3", tmp_path / "s3/aws/docs/files")


def test_a_file_that_changes_or_goes_while_it_is_read_is_not_called_synced(
    backups: Backups, proxy: FaultProxy, tmp_path: Path
) -> None:
    changed, gone = backups.source / "d6/f76", backups.source / "d6/f69"
    proxy.rates = {}
    began = backups.progress.began

    def change(policy: str, destination: str, step: str) -> None:
        if step == "copying":
            changed.write_text("changed after it was listed")
            gone.unlink()
        began(policy, destination, step)

    backups.patch.setattr(backups.progress, "began", change)
    done = backups.run()["aws_s3"]
    assert done.failed == 2
    rows = backups.rows("aws_s3")
    assert "changed while" in str(rows["d6/f76"]["error"])
    assert rows["d6/f69"]["status"] == rows["d6/f76"]["status"] == "failed"
    backups.assert_true("aws_s3", tmp_path / "s3/aws/docs/files")
